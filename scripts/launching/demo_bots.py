"""The WhatsApp bots of demo_bots.toml, made through the platform API and connected to numbers at the simulator."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from app.commands import Mendable
from app.config import Settings
from scripts.chatting import connecting
from scripts.chatting.asking import Door
from scripts.chatting.connecting import NUMBERS, NewNumber, Place
from scripts.launching.simulator import plays_whatsapp

FILE: Final = Path(__file__).resolve().parents[1] / "demo_bots.toml"
BOTS: Final = "/api/v1/bots"
CONNECT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class DemoBot:
    """`bot` is the body of POST /api/v1/bots."""

    bot: dict[str, Any]
    number: NewNumber

    @property
    def name(self) -> str:
        return str(self.bot["name"])


def read_bots(path: Path = FILE) -> list[DemoBot]:
    """The bots of the file, in its order."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["bots"]
    return [DemoBot(table, NewNumber(**table.pop("number"))) for table in tables]


async def connect_bots(
    settings: Settings, root_url: str, api_key: str, simulator_url: str | None, say: Callable[[str], None]
) -> Sequence[str]:
    """`open_bots` for a gateway that serves there, if the simulator plays WhatsApp for it.

    What goes wrong is said and keeps nobody from using the rest of it.
    """
    if simulator_url is None or not plays_whatsapp(settings, simulator_url):
        return ()
    place = Place(Door(root_url, api_key), Door(simulator_url))
    try:
        with trio.fail_after(CONNECT_S):
            return await trio.to_thread.run_sync(open_bots, place, abandon_on_cancel=True)
    except (Mendable, trio.TooSlowError) as error:
        say(f"The demo's WhatsApp bots cannot be written to: {str(error) or 'the simulator is too slow.'}")
        return ()


def open_bots(place: Place) -> list[str]:
    """Make what is missing and connect the numbers; the names of the bots that can be written to now.

    Blocks. Raises NotConnected, Refused, Unreachable.
    """
    names = list[str]()
    connected = {number["phone_number_id"]: number for number in place.gateway.get(NUMBERS)["data"]}
    for demo in read_bots():
        number = connected.get(demo.number.account)
        if number is None:
            connecting.create(place, demo.number, _bot_id(place, demo))
            names.append(demo.name)
        elif connecting.connect_again(place, number, demo.number.phone)["bot_id"] is not None:
            names.append(place.gateway.get(f"{BOTS}/{number['bot_id']}")["name"])
    return names


def _bot_id(place: Place, demo: DemoBot) -> str:
    """Of a bot of this type and name, a new one unless there is one already."""
    kind = demo.bot["type"]
    there = place.gateway.get(BOTS, type=kind, limit=100)["data"]
    found = next((bot for bot in there if bot["name"] == demo.name), None)
    return str((found or place.gateway.post(BOTS, demo.bot))["id"])
