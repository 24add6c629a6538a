"""What a user does to a message after it was sent: changes it, deletes it, reacts to it. None of it begins a turn."""

from __future__ import annotations

from typing import Any

import msgspec

from app.storage import lanes, received
from app.storage.conversations import StoredMessage
from app.storage.numbers import StoredNumber
from channels.conversations.contacts import find_or_make
from channels.inbound.sorting import DONE, NO_SENDER, UNKNOWN, Sorted, Sorting
from channels.whatsapp.updates import Edit, Reaction, Revoke


def sort_edit(sorting: Sorting, edit: Edit) -> Sorted:
    """The text changes. A turn that has not answered it yet reads the new one."""
    found = received.find_message(sorting.db, sorting.tenant_id, edit.target_id)
    if found is None:
        return UNKNOWN
    changed = found._replace(content=edit.text, details=_with(found, edited=True))
    return _change(sorting, found, changed)


def sort_revoke(sorting: Sorting, revoke: Revoke) -> Sorted:
    """It is hidden from the bot; what waited for an answer waits no longer."""
    found = received.find_message(sorting.db, sorting.tenant_id, revoke.target_id)
    if found is None:
        return UNKNOWN
    disposition = "revoked" if found.disposition == "open" else found.disposition
    return _change(sorting, found, found._replace(disposition=disposition, details=_with(found, revoked=True)))


def sort_reaction(sorting: Sorting, number: StoredNumber, reaction: Reaction) -> Sorted:
    """One a contact and message; "" takes it back."""
    if not reaction.sender.aliases:
        return NO_SENDER
    db, tenant_id = sorting.db, sorting.tenant_id
    found = received.find_message(db, tenant_id, reaction.target_id)
    if found is None:
        return UNKNOWN
    contact = find_or_make(db, tenant_id, number.id, reaction.sender, sorting.at_us)
    reactions: dict[str, str] = {**msgspec.json.decode(found.details).get("reactions", {})}
    reactions.pop(contact.id, None)
    if reaction.emoji:
        reactions[contact.id] = reaction.emoji
    received.change_message(db, tenant_id, found._replace(details=_with(found, reactions=reactions)))
    return DONE


def _change(sorting: Sorting, before: StoredMessage, after: StoredMessage) -> Sorted:
    received.change_message(sorting.db, sorting.tenant_id, after)
    if before.disposition != "open":
        return DONE
    lanes.nudge(sorting.db, sorting.tenant_id, before.conversation_id)
    return Sorted(lane=True)


def _with(message: StoredMessage, **news: Any) -> str:
    return msgspec.json.encode({**msgspec.json.decode(message.details), **news}).decode()
