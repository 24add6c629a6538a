"""Contacts: the people who write to a number, under whatever they are known by (channels.md section 3)."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.storage.database import Transaction


class StoredContact(NamedTuple):
    """One row. `window_us` is the end of the 24 hours in which free-form messages may go out, 0 before the first.

    `notices` is JSON: when each kind of notice was last sent. `tat_us`, `paused_us` and `backoff` pace what goes out.
    """

    id: str
    number_id: str
    user_id: str
    phone: str
    name: str
    conversation_id: str | None
    window_us: int
    opted_out_us: int | None
    tat_us: int
    paused_us: int
    backoff: int
    notices: str
    created_us: int
    updated_us: int


COLUMNS: Final = (
    "id, number_id, user_id, phone, name, conversation_id, window_until, opted_out_at, tat, paused_until, backoff, "
    "notices, created_at, updated_at"
)


def insert_contact(db: Transaction, tenant_id: str, contact: StoredContact) -> None:
    places = ", ".join("?" * (1 + len(contact)))
    db.do(f"INSERT INTO contacts (tenant_id, {COLUMNS}) VALUES ({places})", tenant_id, *contact)


def find_contact(db: Transaction, tenant_id: str, contact_id: str) -> StoredContact | None:
    row = db.one(f"SELECT {COLUMNS} FROM contacts WHERE tenant_id = ? AND id = ?", tenant_id, contact_id)
    return None if row is None else StoredContact(*row)
