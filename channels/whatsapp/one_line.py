"""Locations, contacts and orders as one line that a model and a person can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from channels.whatsapp.lenient import line, mapping, sequence

#: Cards of contacts, phones of a card and items of an order that are named.
MOST_NAMED: Final = 50


def location(place: Mapping[str, Any]) -> str:
    """`Location: Philz, 101 Forest Ave (37.44, -122.16)`, "" if it says nothing."""
    named = _joined([line(place.get("name")), line(place.get("address"))])
    latitude, longitude = line(place.get("latitude")), line(place.get("longitude"))
    point = f"({latitude}, {longitude})" if latitude and longitude else ""
    said = " ".join(part for part in (named, point) if part)
    return f"Location: {said}" if said else ""


def contacts(cards: object) -> str:
    """`Contact: Lucía Gómez (Acme), +1 (983) 555-2319; …`, "" if they say nothing."""
    said = [found for card in _named(cards) if (found := _card(card))]
    return f"Contact: {'; '.join(said)}" if said else ""


def order(sent: Mapping[str, Any]) -> str:
    """`Order: 2 × di9 at 30 USD; …`, then what the user wrote with it."""
    items = [found for item in _named(sent.get("product_items")) if (found := _item(item))]
    return ". ".join(part for part in (f"Order: {'; '.join(items)}" if items else "", line(sent.get("text"))) if part)


def _card(card: Mapping[str, Any]) -> str:
    names = mapping(card.get("name"))
    parts = _joined([line(names.get("first_name")), line(names.get("last_name"))], " ")
    name = line(names.get("formatted_name")) or parts
    company = line(mapping(card.get("org")).get("company"))
    phones = [line(entry.get("phone")) or line(entry.get("wa_id")) for entry in _named(card.get("phones"))]
    emails = [line(entry.get("email")) for entry in _named(card.get("emails"))]
    return _joined([f"{name} ({company})" if name and company else name or company, *phones, *emails])


def _item(item: Mapping[str, Any]) -> str:
    product = line(item.get("product_retailer_id"))
    if not product:
        return ""
    price = _joined([line(item.get("item_price")), line(item.get("currency"))], " ")
    return f"{line(item.get('quantity')) or '1'} × {product}" + (f" at {price}" if price else "")


def _named(entries: object) -> Iterable[Mapping[str, Any]]:
    return (mapping(entry) for entry in islice(sequence(entries), MOST_NAMED))


def _joined(parts: list[str], separator: str = ", ") -> str:
    return separator.join(part for part in parts if part)
