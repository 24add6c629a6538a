"""What people see of the messages that go out, and what one that is written now would stand behind."""

from __future__ import annotations

from typing import NamedTuple

from app.storage.conversations import MESSAGE_COLUMNS, StoredMessage
from app.storage.database import Transaction


class StoredPart(NamedTuple):
    """One part of a message."""

    part: int
    state: str
    reason: str
    error: str
    attempts: int
    provider_id: str
    updated_us: int


class Ahead(NamedTuple):
    """How many parts wait to be sent to a contact, and from a number in all; so many of those are templates."""

    to_contact: int = 0
    from_number: int = 0
    templates: int = 0


def find_message(db: Transaction, tenant_id: str, message_id: str) -> StoredMessage | None:
    row = db.one(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE tenant_id = ? AND id = ?", tenant_id, message_id)
    return None if row is None else StoredMessage(*row)


def parts_of(db: Transaction, tenant_id: str, message_id: str) -> list[StoredPart]:
    """In their order; what went out in place of another has its number and comes behind it."""
    rows = db.all(
        "SELECT part, state, reason, error, attempts, provider_id, updated_at FROM sends "
        "WHERE tenant_id = ? AND message_id = ? ORDER BY part, id",
        *(tenant_id, message_id),
    )
    return [StoredPart(*row) for row in rows]


def ahead(db: Transaction, tenant_id: str, number_id: str, contact_id: str) -> Ahead:
    """What a message that is written now would stand behind."""
    row = db.one(
        "SELECT COUNT(CASE WHEN contact_id = ? THEN 1 END), COUNT(*), COUNT(CASE WHEN origin = 'template' THEN 1 END) "
        "FROM sends WHERE tenant_id = ? AND number_id = ? AND state = 'queued'",
        *(contact_id, tenant_id, number_id),
    )
    return Ahead() if row is None else Ahead(*row)
