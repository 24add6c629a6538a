"""Prices on the way out and from upstream lists."""

from __future__ import annotations

from decimal import Decimal

import pytest

from catalog.prices import Price, passthrough_price


def test_a_listed_price_per_token_becomes_one_per_million() -> None:
    assert passthrough_price("0.00003", "0.00006", Decimal(1)) == Price("tokens", 30_000_000, 60_000_000)


def test_the_markup_is_applied_and_rounded_up() -> None:
    assert passthrough_price("0.0000000000011", "0", Decimal("1.5")) == Price("tokens", 2, 0)


@pytest.mark.parametrize("listed", ["-1", "NaN", "Infinity", "1e999999", "free", ""])
def test_what_is_no_price_is_no_price(listed: str) -> None:
    assert passthrough_price("0.1", listed, Decimal(1)) is None
    assert passthrough_price(listed, "0.1", Decimal(1)) is None


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        (
            Price("tokens", 4_000_000, 20_000_000),
            {"input": 4.0, "output": 20.0, "unit": "per_million_tokens", "currency": "USD"},
        ),
        (
            Price("tokens", 90_000, 350_000, cached_input_musd=9_000),
            {"input": 0.09, "output": 0.35, "cached_input": 0.009, "unit": "per_million_tokens", "currency": "USD"},
        ),
        (
            Price("tokens", 4_000_000, 15_000_000, minute_musd=64_000),
            {"input": 4.0, "output": 15.0, "per_minute": 0.064, "unit": "per_million_tokens", "currency": "USD"},
        ),
        (Price("hour", 530_000), {"price": 0.53, "unit": "per_hour", "currency": "USD"}),
        (Price("10k_characters", 400_000), {"price": 0.4, "unit": "per_10k_characters", "currency": "USD"}),
        (Price("image", 67_000), {"price": 0.067, "unit": "per_image", "currency": "USD"}),
        (Price("search", 10_000), {"price": 0.01, "unit": "per_search", "currency": "USD"}),
        (Price("by_pick", 0), None),
    ],
)
def test_a_price_is_shown_in_dollars_with_its_unit(price: Price, shown: dict[str, object] | None) -> None:
    assert price.entry() == shown
