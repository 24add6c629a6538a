"""Connects a bot to a number at the simulator, so that it can be written to without a phone and without Meta.

What a business does at Meta and in the platform API is done here in one go: a number with secrets of its own, entered
at the gateway, its webhook at the simulator, verified by both. The simulator forgets its numbers when it ends, so they
are connected again, with new secrets, whenever it does not know them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from app.commands import Mendable
from scripts.chatting.asking import Door

NUMBERS: Final = "/api/v1/whatsapp/numbers"
#: What the ids of simulated numbers begin with, and how long they are: none of Meta's is so long.
SIMULATED: Final = "5550100"
ID_LENGTH: Final = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway and the simulator beside it."""

    gateway: Door
    simulator: Door


@dataclass(frozen=True, slots=True)
class NewNumber:
    """A number that nobody has: `account` is its id at Meta, `business` the business account."""

    account: str
    business: str
    phone: str
    name: str


class NotConnected(Mendable):
    """The number does not work; the text says why."""


def is_simulated(number: dict[str, Any]) -> bool:
    """Whether this number of the platform API is one that was made for the simulator."""
    account = str(number["phone_number_id"])
    return account.startswith(SIMULATED) and len(account) == ID_LENGTH


def new_number(name: str) -> NewNumber:
    """A number that no other bot has, with a phone of those that are nobody's."""
    digits = f"{secrets.randbelow(10**7):07}"
    account = f"{SIMULATED}{digits}{secrets.randbelow(10**6):06}"
    return NewNumber(account, f"{SIMULATED}{digits}", f"+1555{digits}", name)


def create(place: Place, new: NewNumber, bot_id: str) -> dict[str, Any]:
    """Connect the bot to a new number. Raises NotConnected, Refused, Unreachable."""
    made = _secrets()
    account = {"phone_number_id": new.account, "waba_id": new.business, "name": new.name, "bot_id": bot_id}
    number = place.gateway.post(NUMBERS, {"provider": "meta", **account, **made})
    return _introduce(place, number, new, made)


def connect_again(place: Place, number: dict[str, Any], phone: str) -> dict[str, Any]:
    """Connect a number of the platform API that the simulator does not know any more. Raises as `create`."""
    made = _secrets()
    new = NewNumber(number["phone_number_id"], number["waba_id"], phone, number["name"])
    return _introduce(place, place.gateway.put(f"{NUMBERS}/{number['id']}", made), new, made)


def known_accounts(simulator: Door) -> set[str]:
    """The ids of the numbers that the simulator has."""
    return {number["account"] for number in simulator.get("/whatsapp/numbers")["numbers"]}


def _introduce(place: Place, number: dict[str, Any], new: NewNumber, made: dict[str, str]) -> dict[str, Any]:
    """Tell the simulator of the number and let each of the two verify it at the other."""
    told = {
        "provider": "meta",
        "account": new.account,
        "business": new.business,
        "phone": new.phone,
        "name": new.name or "Simulated Business",
        "token": made["access_token"],
        "app_secret": made["app_secret"],
        "verify_token": made["verify_token"],
        "callback_url": f"{place.gateway.url}/api/v1/webhooks/whatsapp/{number['id']}",
        "verify": True,
    }
    if not place.simulator.post("/whatsapp/numbers", told)["verified"]:
        raise NotConnected(f"The webhook of {new.name or new.phone} does not verify itself at {place.gateway.url}.")
    checked: dict[str, Any] = place.gateway.post(f"{NUMBERS}/{number['id']}/verify")
    if checked["state"] != "connected":
        raise NotConnected(
            f"The gateway cannot reach {new.name or new.phone} at the simulator: {checked['error']} "
            "Is META_GRAPH_URL set to something else?"
        )
    return checked


def _secrets() -> dict[str, str]:
    return {name: secrets.token_hex(24) for name in ("access_token", "app_secret", "verify_token")}
