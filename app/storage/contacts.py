"""Contacts: the people who write to a number, under whatever they are known by (channels.md section 3)."""

from __future__ import annotations

from collections.abc import Sequence
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


def known_as(db: Transaction, tenant_id: str, number_id: str, aliases: Sequence[str]) -> dict[str, StoredContact]:
    """The contacts of a number that are known under these aliases, by alias."""
    places = ", ".join("?" * len(aliases))
    columns = ", ".join(f"c.{name}" for name in COLUMNS.split(", "))
    rows = db.all(
        f"SELECT a.alias, {columns} FROM aliases a "
        "JOIN contacts c ON c.tenant_id = a.tenant_id AND c.id = a.contact_id "
        f"WHERE a.tenant_id = ? AND a.number_id = ? AND a.alias IN ({places})",
        *(tenant_id, number_id, *aliases),
    )
    return {row[0]: StoredContact(*row[1:]) for row in rows}


def set_alias(db: Transaction, tenant_id: str, number_id: str, alias: str, contact_id: str) -> None:
    """From now on this alias is this contact's, whosever it was."""
    db.do(
        "INSERT INTO aliases (tenant_id, number_id, alias, contact_id) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (tenant_id, number_id, alias) DO UPDATE SET contact_id = excluded.contact_id",
        *(tenant_id, number_id, alias, contact_id),
    )


def drop_alias(db: Transaction, tenant_id: str, number_id: str, alias: str) -> None:
    db.do("DELETE FROM aliases WHERE tenant_id = ? AND number_id = ? AND alias = ?", tenant_id, number_id, alias)


def update_contact(db: Transaction, tenant_id: str, contact: StoredContact) -> None:
    """Write all of it that may change."""
    names = [name for name in COLUMNS.split(", ") if name not in ("id", "number_id", "created_at")]
    row = dict(zip(COLUMNS.split(", "), contact, strict=True))
    db.do(
        f"UPDATE contacts SET {', '.join(f'{name} = ?' for name in names)} WHERE tenant_id = ? AND id = ?",
        *(row[name] for name in names),
        *(tenant_id, contact.id),
    )


def hand_over(db: Transaction, tenant_id: str, contact_id: str, to_id: str) -> None:
    """One contact turns out to be another: its aliases, its conversations and what waits to be sent are theirs now.

    Its own row stays, for what is on its way to it just now.
    """
    values = (to_id, tenant_id, contact_id)
    db.do(
        "UPDATE sends SET contact_id = ? WHERE tenant_id = ? AND state IN ('making', 'queued') AND contact_id = ? "
        "AND conversation_id IN (SELECT id FROM conversations WHERE tenant_id = ? AND contact_id = ?)",
        *(*values, tenant_id, contact_id),
    )
    db.do("UPDATE conversations SET contact_id = ? WHERE tenant_id = ? AND contact_id = ?", *values)
    db.do("UPDATE aliases SET contact_id = ? WHERE tenant_id = ? AND contact_id = ?", *values)


def set_conversation(db: Transaction, tenant_id: str, contact_id: str, conversation_id: str, at_us: int) -> None:
    """The conversation that goes on with them."""
    sql = "UPDATE contacts SET conversation_id = ?, updated_at = ? WHERE tenant_id = ? AND id = ?"
    db.do(sql, conversation_id, at_us, tenant_id, contact_id)


def open_window(db: Transaction, tenant_id: str, contact_id: str, until_us: int) -> None:
    """They may be written to until then; never earlier than what they said before allows."""
    sql = "UPDATE contacts SET window_until = ? WHERE tenant_id = ? AND id = ? AND window_until < ?"
    db.do(sql, until_us, tenant_id, contact_id, until_us)


def set_notices(db: Transaction, tenant_id: str, contact_id: str, notices: str, at_us: int) -> None:
    """When each kind of notice was last sent to this contact, as JSON."""
    sql = "UPDATE contacts SET notices = ?, updated_at = ? WHERE tenant_id = ? AND id = ?"
    db.do(sql, notices, at_us, tenant_id, contact_id)
