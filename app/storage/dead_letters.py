"""Dead letters: what came in well signed and could not be used, kept so that people can look at it and try again, and
what we wrote and the provider refused.

A letter of no tenant ("") came for a number that is nobody's: the operator's business.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.core.times import Place
from app.storage.database import Transaction


class DeadLetter(NamedTuple):
    """One row. `account` is what the number is called by its provider; `number_id` is "" when it is nobody's.
    `message_id` is that of a message of ours, "" for what came in."""

    id: str
    number_id: str
    provider: str
    account: str
    reason: str
    body: str
    received_us: int
    replayed_us: int | None = None
    message_id: str = ""


_COLUMNS: Final = "id, number_id, provider, account, reason, body, received_at, replayed_at, message_id"
#: Lists show the beginning of a body.
SHOWN: Final = 500
_LISTED: Final = _COLUMNS.replace("body", f"SUBSTR(body, 1, {SHOWN})")


def bury(db: Transaction, tenant_id: str, letter: DeadLetter) -> None:
    places = ", ".join("?" * (1 + len(letter)))
    db.do(f"INSERT INTO dead_letters (tenant_id, {_COLUMNS}) VALUES ({places})", tenant_id, *letter)


def find(db: Transaction, tenant_id: str, letter_id: str) -> DeadLetter | None:
    row = db.one(f"SELECT {_COLUMNS} FROM dead_letters WHERE tenant_id = ? AND id = ?", tenant_id, letter_id)
    return None if row is None else DeadLetter(*row)


def page(db: Transaction, tenant_id: str, *, after: Place | None, limit: int) -> list[DeadLetter]:
    """The next letters after a place, newest first, with the beginning of each body."""
    condition = "" if after is None else " AND (received_at, id) < (?, ?)"
    place = () if after is None else after
    rows = db.all(
        f"SELECT {_LISTED} FROM dead_letters WHERE tenant_id = ?{condition} ORDER BY received_at DESC, id DESC LIMIT ?",
        *(tenant_id, *place, limit),
    )
    return [DeadLetter(*row) for row in rows]


def page_of_all(db: Transaction, *, after: Place | None, limit: int) -> list[tuple[str, DeadLetter]]:
    """The same of everybody, with the organisation's name: "" for what is nobody's."""
    condition = "" if after is None else "WHERE (d.received_at, d.id) < (?, ?) "
    place = () if after is None else after
    columns = ", ".join(f"d.{name}" for name in _COLUMNS.split(", ")).replace("d.body", f"SUBSTR(d.body, 1, {SHOWN})")
    rows = db.all(
        f"SELECT COALESCE(t.name, ''), {columns} FROM dead_letters d LEFT JOIN tenants t ON t.id = d.tenant_id "
        f"{condition}ORDER BY d.received_at DESC, d.id DESC LIMIT ?",
        *(*place, limit),
    )
    return [(row[0], DeadLetter(*row[1:])) for row in rows]


def set_replayed(db: Transaction, tenant_id: str, letter_id: str, at_us: int) -> None:
    db.do("UPDATE dead_letters SET replayed_at = ? WHERE tenant_id = ? AND id = ?", at_us, tenant_id, letter_id)


def sweep(db: Transaction, before_us: int, limit: int) -> int:
    """Delete some of what came before then; how many."""
    return db.run(
        "DELETE FROM dead_letters WHERE (tenant_id, id) IN "
        "(SELECT tenant_id, id FROM dead_letters WHERE received_at < ? ORDER BY received_at LIMIT ?)",
        *(before_us, limit),
    )
