"""One `change` of a body of Meta as facts: each of its parts by itself, so that a bad one spoils no other (§4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import msgspec

from channels.whatsapp.lenient import identifier, kept, mapping, sequence
from channels.whatsapp.meta_messages import Unreadable, read_message
from channels.whatsapp.meta_notices import read_call, read_echo, read_status
from channels.whatsapp.meta_people import Contacts
from channels.whatsapp.updates import Arrival, Broken, Notice, Update

_Reader = Callable[[Mapping[str, Any], Contacts], tuple[str, Update]]


@dataclass(frozen=True, slots=True)
class Change:
    """`at` is the time of its entry, 0 if that has none."""

    business: str
    at: int
    field: str
    value: dict[str, Any]
    #: Another handler owns the thread.
    standby: bool = False

    @property
    def account(self) -> str:
        """The phone number id; "" for news of a whole business account."""
        return identifier(mapping(self.value.get("metadata")).get("phone_number_id"))


def _standby_message(raw: Mapping[str, Any], contacts: Contacts) -> tuple[str, Update]:
    return identifier(raw.get("id")), read_message(raw, contacts, standby=True)


def _message(raw: Mapping[str, Any], contacts: Contacts) -> tuple[str, Update]:
    return identifier(raw.get("id")), read_message(raw, contacts)


#: The lists of a value that are read, by field. Every other field is a notice as a whole.
_MESSAGES: Final[Mapping[str, _Reader]] = {"messages": _message, "statuses": read_status, "standby": _standby_message}
_READERS: Final[Mapping[str, Mapping[str, _Reader]]] = {
    "messages": _MESSAGES,
    "standby": {**_MESSAGES, "messages": _standby_message},
    "calls": {"calls": read_call, "statuses": read_status},
    "smb_message_echoes": {"message_echoes": read_echo},
}
_AROUND: Final = frozenset({"messaging_product", "metadata", "contacts"})


def read_change(change: Change) -> Iterator[Arrival | Broken]:
    """Everything in it. What no reader knows is kept as a notice."""
    value = change.value
    if value.get("standby") is True:
        change = replace(change, standby=True)
    readers = _READERS.get(_family(change))
    if readers is None:
        yield _notice(change, value, "")
        return
    contacts, account = Contacts(value.get("contacts")), change.account
    for name, reader, part in ((n, r, p) for n, r in readers.items() for p in sequence(value.get(n))):
        try:
            key, update = reader(_object(part), contacts)
        except Unreadable as error:
            yield Broken(account, str(error), _alone(change, name, part))
        else:
            yield Arrival(account, key, update, change.business)
    rest = {name: part for name, part in value.items() if not _is_read(name, part, readers)}
    if errors := rest.pop("errors", None):
        yield _notice(change, {"errors": errors}, ":errors")
    if rest:
        yield _notice(change, rest, ":rest")


def _family(change: Change) -> str:
    """Under which name its readers are found. A change that lost its field's name is told by what it holds."""
    if change.standby and change.field in ("", "messages", "standby"):
        return "standby"
    if not change.field and not _MESSAGES.keys().isdisjoint(change.value):
        return "messages"
    return change.field


def _is_read(name: str, part: object, readers: Mapping[str, _Reader]) -> bool:
    if name in _AROUND or part is None or (name == "standby" and isinstance(part, bool)):
        return True
    return name in readers and type(part) is list


def _object(part: object) -> Mapping[str, Any]:
    if not isinstance(part, dict):
        raise Unreadable("It is not an object.")
    return part


def _alone(change: Change, name: str, part: object) -> str:
    """That part in an envelope, as JSON."""
    value = {"metadata": {"phone_number_id": change.account}, "standby": change.standby, name: [part]}
    envelope = {"entry": [{"id": change.business, "changes": [{"field": change.field, "value": value}]}]}
    return msgspec.json.encode(kept(envelope)).decode()


def _notice(change: Change, part: dict[str, Any], suffix: str) -> Arrival:
    """Its key is the hash of the whole change, since such news has no id of its own."""
    whole = {"field": change.field, "value": change.value, "time": change.at}
    try:
        told = msgspec.json.encode(whole, order="sorted")
    except (UnicodeEncodeError, RecursionError):
        told = msgspec.json.encode(kept(whole), order="sorted")
    key = sha256(told).hexdigest() + suffix
    return Arrival(change.account, key, Notice(change.field or "unknown", kept(part), change.at), change.business)
