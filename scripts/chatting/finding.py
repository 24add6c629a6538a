"""Whom to write to: the gateway of a data directory, the bot of a name, and a number at which it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.commands import Mendable
from scripts.chatting import connecting
from scripts.chatting.asking import Door, Unreachable
from scripts.chatting.connecting import NUMBERS, Place

BOTS: Final = "/api/v1/bots"
WHATSAPP: Final = ("whatsapp", "whatsapp_voice")
PAGE: Final = 100
Json = dict[str, Any]


class NobodyThere(Mendable):
    """There is no gateway, no simulator, no such bot; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Partner:
    """The bot that is written to, and its number: `account` is what the simulator knows it by."""

    bot_id: str
    name: str
    kind: str
    number_id: str
    account: str
    phone: str


def find_place(data: Path) -> Place:
    """The gateway that runs on a data directory, and its simulator. Raises NobodyThere."""
    file = data / "run.json"
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        gateway, simulator_url = Door(run["root_url"], run["api_key"]), run["simulator_url"]
    except FileNotFoundError:
        raise NobodyThere(
            f"No gateway is running on {data} (there is no {file}): start ./scripts/run first, or name its folder "
            "with --data."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NobodyThere(f"{file} cannot be read ({error}): start ./scripts/run anew.") from None
    if not simulator_url:
        raise NobodyThere(
            "This gateway runs without the simulator, so nobody plays WhatsApp: start ./scripts/run with "
            "--play-whatsapp, or write to the bot's number from a phone."
        )
    return Place(gateway, Door(simulator_url))


def find_partner(place: Place, name: str) -> Partner:
    """The bot of this name, or id, connected to a number at the simulator if it is not yet.

    Blocks. Raises NobodyThere, NotConnected, Refused.
    """
    try:
        bots = list(_bots(place.gateway))
    except Unreachable as error:
        raise NobodyThere(f"{error} Start ./scripts/run first.") from None
    bot = _named(bots, name)
    number = _number(place, bot)
    return Partner(bot["id"], bot["name"], bot["type"], number["id"], number["phone_number_id"], number["phone_number"])


def _bots(gateway: Door) -> Iterator[Json]:
    page = gateway.get(BOTS, limit=PAGE)
    yield from page["data"]
    while page["next_cursor"]:
        page = gateway.get(BOTS, limit=PAGE, before=page["next_cursor"])
        yield from page["data"]


def _named(bots: Sequence[Json], name: str) -> Json:
    """By id or name, the oldest of those that write."""
    writing = [bot for bot in reversed(bots) if bot["type"] in WHATSAPP]
    for bot in writing:
        if name == bot["id"] or name.casefold() == bot["name"].casefold():
            return bot
    other = next((bot for bot in bots if name.casefold() == bot["name"].casefold()), None)
    if other is not None:
        raise NobodyThere(f"{other['name']} is a bot of the type {other['type']} and does not write on WhatsApp.")
    there = ", ".join(f"{bot['name']} ({bot['type']})" for bot in writing)
    raise NobodyThere(
        f"There is no bot {name!r}. There are: {there}."
        if writing
        else f"There is no bot {name!r}, nor any other that writes on WhatsApp: make one with POST {BOTS}."
    )


def _number(place: Place, bot: Json) -> Json:
    """A number of the bot's that the simulator plays; a real one is never touched."""
    numbers: list[Json] = place.gateway.get(NUMBERS)["data"]
    its = [number for number in numbers if number["bot_id"] == bot["id"] and connecting.is_simulated(number)]
    known = connecting.known_accounts(place.simulator)
    for number in its:
        if number["phone_number_id"] in known:
            return number
    new = connecting.new_number(f"{bot['name']} on trial")
    if its:
        return connecting.connect_again(place, its[0], its[0]["phone_number"] or new.phone)
    return connecting.create(place, new, bot["id"])
