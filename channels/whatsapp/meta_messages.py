"""One entry of Meta's `messages` as a fact (wire/whatsapp-meta.md §6). A type that is not known is `unsupported`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from channels.whatsapp import lenient
from channels.whatsapp.lenient import identifier, mapping, moment, text
from channels.whatsapp.meta_contents import read_contents
from channels.whatsapp.meta_people import Contacts, named, sender
from channels.whatsapp.updates import (
    Edit,
    Identity,
    Message,
    Notice,
    Person,
    Reaction,
    Revoke,
    Update,
)

#: Fields of a message that a fact holds under names of its own. A `text` may hold more than its body.
_TOLD: Final = frozenset({"id", "timestamp", "type", "from", "from_user_id", "from_parent_user_id"})
#: Replies to a question that is none of the bot's: the user has written nothing.
_NOT_SAID: Final = frozenset({"call_permission_reply"})


class Unreadable(Exception):
    """Why a part of a body cannot be a fact."""


def read_message(raw: Mapping[str, Any], contacts: Contacts, *, standby: bool = False) -> Update:
    """The fact in `raw`. Raises `Unreadable` without an id, a sender or, where one is needed, a target."""
    message_id, at = identifier(raw.get("id")), moment(raw.get("timestamp"))
    if not message_id:
        raise Unreadable("The message has no id.")
    kind = raw.get("type")
    if kind == "system":
        return _identity(raw, message_id, at)
    person = contacts.sender(sender(raw))
    if not person.aliases:
        raise Unreadable("The message does not say who sent it.")
    match kind:
        case "reaction":
            part = mapping(raw.get("reaction"))
            return Reaction(message_id, at, person, _target(part.get("message_id")), text(part.get("emoji"), 64))
        case "edit":
            part = mapping(raw.get("edit"))
            changed = read_contents(mapping(part.get("message"))).text
            return Edit(message_id, at, person, _target(part.get("original_message_id")), changed)
        case "revoke":
            target = _target(mapping(raw.get("revoke")).get("original_message_id"))
            return Revoke(message_id, at, person, target)
        case "interactive" if (reply := text(mapping(raw.get("interactive")).get("type"))) in _NOT_SAID:
            return Notice(reply, lenient.kept(raw), at)
        case _:
            return _message(raw, message_id, at, person, standby)


def _message(raw: Mapping[str, Any], message_id: str, at: int, person: Person, standby: bool) -> Message:
    read = read_contents(raw)
    return Message(
        message_id,
        at,
        person,
        read.kind,
        read.text,
        read.media,
        reply_to=identifier(mapping(raw.get("context")).get("id")),
        choice_id=read.choice_id,
        referral=_referral(mapping(raw.get("referral"))),
        standby=standby or raw.get("standby") is True,
        details=_details(raw),
    )


def _details(raw: Mapping[str, Any]) -> dict[str, Any]:
    whole = raw.get("text")
    told = _TOLD | {"text"} if type(whole) is dict and whole.keys() <= {"body"} else _TOLD
    return {text(name): lenient.kept(value) for name, value in raw.items() if name not in told}


def _target(value: object) -> str:
    target = identifier(value)
    if not target:
        raise Unreadable("The message does not say which message it is about.")
    return target


def _referral(ad: Mapping[str, Any]) -> str:
    return "\n".join(part for part in (text(ad.get("headline")), text(ad.get("body"))) if part)


def _identity(raw: Mapping[str, Any], message_id: str, at: int) -> Identity | Notice:
    """`from` is the old number where the number has changed; older forms call the new one `new_wa_id`.

    Ids that have not changed are no old ones, and a change that names no new id leaves everybody who they are.
    """
    part, before = mapping(raw.get("system")), sender(raw)
    new = named(part.get("wa_id") or part.get("new_wa_id"), part.get("user_id"), part.get("parent_user_id"))
    if part.get("type") == "customer_identity_changed" or not new.aliases:
        known = before if before.aliases else new
        known = known if known.aliases else named(part.get("customer"), None, None)
        return Identity(message_id, at, known) if known.aliases else Notice("system", lenient.kept(raw), at)
    previous = named(
        part.get("customer") or raw.get("from"),
        part.get("previous_user_id") or raw.get("from_user_id"),
        part.get("previous_parent_user_id") or raw.get("from_parent_user_id"),
    )
    return Identity(message_id, at, new, _without(previous, new))


def _without(person: Person, other: Person) -> Person:
    return Person(
        person.phone if person.phone != other.phone else "",
        person.user_id if person.user_id != other.user_id else "",
        person.parent_id if person.parent_id != other.parent_id else "",
    )
