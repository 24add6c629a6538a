"""Lines of the ledger: written with their sums by day, and read back as an organisation's transactions."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.core.credits import EntryType, entry_type
from app.core.identity import new_uuid
from app.core.times import DAY_US, Place
from app.storage.database import Transaction


class Entry(NamedTuple):
    """One line of the ledger; `ref` is unique per kind within a tenant."""

    kind: str
    amount: int
    ref: str
    note: str = ""


class StoredEntry(NamedTuple):
    """A line as it is kept; of a charge also the call that it was for, None for others."""

    id: str
    kind: str
    type: EntryType
    amount: int
    balance_after: int
    ref: str
    note: str
    created_us: int
    category: str | None
    model: str | None
    request_id: str | None


class Wanted(NamedTuple):
    """Which lines: of one type or of all, not older than `since_us`, after a place."""

    type: EntryType | None
    since_us: int
    after: Place | None
    limit: int


def append(db: Transaction, tenant_id: str, entry: Entry, at_us: int) -> None:
    """The balance has been moved already: a seed, which takes no tenant's turn, may have moved it since it was read."""
    kind = entry_type(entry.kind, entry.ref)
    db.do(
        "INSERT INTO ledger_entries (id, tenant_id, kind, amount, ref, note, balance_after, created_at, type) "
        "SELECT ?, id, ?, ?, ?, ?, balance, ?, ? FROM tenants WHERE id = ?",
        *(new_uuid(at_us), *entry, at_us, kind, tenant_id),
    )
    db.do(
        "INSERT INTO ledger_days (tenant_id, day, type, entries, amount) VALUES (?, ?, ?, 1, ?) "
        "ON CONFLICT (tenant_id, day, type) DO UPDATE SET entries = ledger_days.entries + 1, "
        "amount = ledger_days.amount + excluded.amount",
        *(tenant_id, at_us // DAY_US, kind, entry.amount),
    )


#: Deductions are nearly all there is; the others have an index of their own, whose condition must be named to use it.
_OF_TYPE: Final = {None: "", "deduction": " AND e.type = 'deduction'"}
_OF_OTHERS: Final = " AND e.type <> 'deduction' AND e.type = ?"


def list_entries(db: Transaction, tenant_id: str, wanted: Wanted) -> list[StoredEntry]:
    """The next lines after a place, newest first."""
    sql, values = entries_query(tenant_id, wanted)
    return [StoredEntry(*row) for row in db.all(sql, *values)]


def entries_query(tenant_id: str, wanted: Wanted) -> tuple[str, tuple[object, ...]]:
    """The one query behind the list and its values: it reads as many lines as it gives, however many there are."""
    values: list[object] = [tenant_id, wanted.since_us]
    conditions = _OF_TYPE.get(wanted.type, _OF_OTHERS)
    if conditions == _OF_OTHERS:
        values.append(wanted.type)
    if wanted.after is not None:
        conditions += " AND (e.created_at, e.id) < (?, ?)"
        values.extend(wanted.after)
    sql = (
        "SELECT e.id, e.kind, e.type, e.amount, e.balance_after, e.ref, e.note, e.created_at, "
        "c.category, c.model, c.request_id FROM ledger_entries e "
        "LEFT JOIN calls c ON e.kind = 'charge' AND c.tenant_id = e.tenant_id AND c.id = e.ref "
        f"WHERE e.tenant_id = ? AND e.created_at >= ?{conditions} ORDER BY e.created_at DESC, e.id DESC LIMIT ?"
    )
    return sql, (*values, wanted.limit)


def sums_by_type(db: Transaction, tenant_id: str, first_day: int = 0) -> dict[EntryType, tuple[int, int]]:
    """(how many, ucr in all) of each type that there is, from the first of a day since 1970 on."""
    rows = db.all(
        "SELECT type, SUM(entries), SUM(amount) FROM ledger_days WHERE tenant_id = ? AND day >= ? "
        "GROUP BY type ORDER BY type",
        *(tenant_id, first_day),
    )
    return {kind: (int(count), int(amount)) for kind, count, amount in rows}


def find_amount(db: Transaction, tenant_id: str, kind: str, ref: str) -> int | None:
    """The amount of the line with this reference, None without one."""
    sql = "SELECT amount FROM ledger_entries WHERE tenant_id = ? AND kind = ? AND ref = ?"
    row = db.one(sql, tenant_id, kind, ref)
    return None if row is None else int(row[0])
