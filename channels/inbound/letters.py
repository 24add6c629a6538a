"""The text of a dead letter: the updates that nobody could use, as they would be kept in the inbox. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from channels.whatsapp.updates import Arrival


class _Kept(msgspec.Struct, frozen=True):
    account: str
    key: str
    update: msgspec.Raw


def letter_body(account: str, key: str, update: str) -> str:
    """Of one update that is JSON already."""
    return msgspec.json.encode([_Kept(account, key, msgspec.Raw(update.encode()))]).decode()


def arrivals_body(arrivals: Sequence[Arrival]) -> str:
    return msgspec.json.encode(arrivals).decode()


def read_letter(body: str) -> list[Arrival] | None:
    """The updates of a letter; None when it holds what could not even be read."""
    try:
        return msgspec.json.decode(body, type=list[Arrival])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
