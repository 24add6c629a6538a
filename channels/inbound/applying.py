"""Applies one update of the inbox, whatever it is, and leaves its row as it ends. A function of a transaction."""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from app.core.identity import new_uuid
from app.storage import dead_letters, inbox, sends
from app.storage.dead_letters import DeadLetter
from app.storage.inbox import Event
from app.storage.numbers import StoredNumber
from app.storage.sends import Told
from channels.conversations.contacts import rename
from channels.inbound.letters import letter_body
from channels.inbound.sorting import DONE, NO_NUMBER, SECOND_US, UNKNOWN, Sorted, Sorting
from channels.inbound.sorting_changes import sort_edit, sort_reaction, sort_revoke
from channels.inbound.sorting_messages import sort_call, sort_echo, sort_message, told_us
from channels.whatsapp.updates import (
    Call,
    Echo,
    Edit,
    Identity,
    Message,
    Notice,
    Reaction,
    Revoke,
    Status,
    Update,
)

#: When to look again for what an update is about, counted from when it came; then it is let go (channels.md 2.6).
PATIENCE_US: Final = (2 * SECOND_US, 10 * SECOND_US, 60 * SECOND_US, 600 * SECOND_US)
_DECODER: Final[msgspec.json.Decoder[Update]] = msgspec.json.Decoder(Update)


def apply(sorting: Sorting, event: Event) -> Sorted:
    """Apply it and end its row. Raises only for a bug of ours, or a body that no version of ours has written."""
    number = sorting.number(event.number_id)
    came_of_it = NO_NUMBER if number is None else _sort(sorting, number, event)
    db, tenant_id = sorting.db, sorting.tenant_id
    match came_of_it.ending:
        case "dead":
            bury(sorting, event, came_of_it.reason)
        case "unknown" if event.tries < len(PATIENCE_US):
            due_us = event.received_us + PATIENCE_US[event.tries]
            inbox.put_off(db, tenant_id, event, max(due_us, sorting.at_us), came_of_it.reason)
        case _:
            inbox.finish(db, tenant_id, event, "done", came_of_it.reason)
    return came_of_it


def bury(sorting: Sorting, event: Event, reason: str) -> None:
    """It cannot be used: people may look at it, and try again."""
    db, tenant_id, number = sorting.db, sorting.tenant_id, sorting.number(event.number_id)
    account = "" if number is None else number.account
    letter = DeadLetter(
        id=new_uuid(sorting.at_us),
        number_id=event.number_id,
        provider="" if number is None else number.provider,
        account=account,
        reason=reason,
        body=letter_body(account, event.event_key, event.body),
        received_us=event.received_us,
    )
    dead_letters.bury(db, tenant_id, letter)
    inbox.finish(db, tenant_id, event, "dead", reason)


def _sort(sorting: Sorting, number: StoredNumber, event: Event) -> Sorted:  # noqa: PLR0911 - one for each kind
    update = _DECODER.decode(event.body)
    match update:
        case Message():
            return sort_message(sorting, number, event, update)
        case Call():
            return sort_call(sorting, number, event, update)
        case Echo():
            return sort_echo(sorting, number, event, update)
        case Edit():
            return sort_edit(sorting, update)
        case Revoke():
            return sort_revoke(sorting, update)
        case Reaction():
            return sort_reaction(sorting, number, update)
        case Status():
            return _sort_status(sorting, number, event, update)
        case Identity():
            rename(sorting.db, sorting.tenant_id, number.id, update.old, update.new, sorting.at_us)
            return DONE
        case Notice():
            return DONE
        case _:
            assert_never(update)


def _sort_status(sorting: Sorting, number: StoredNumber, event: Event, status: Status) -> Sorted:
    told = Told(
        provider_id=status.provider_id,
        reference=status.reference,
        state=status.status,
        error_code=status.error_code,
        error=status.error,
        at_us=told_us(event, status.at),
    )
    known = sends.apply_status(sorting.db, sorting.tenant_id, number.id, told, sorting.at_us)
    return Sorted(sends=True) if known else UNKNOWN
