"""Lanes: one for each conversation that has something to answer, worked by one process at a time under a lease.

`due_at` is when a turn may begin, None when nothing waits. `touched` counts up with each change that a running turn
should know of: a message that came, one that was edited, a person who took over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.storage.database import Transaction

#: Both by the index `lanes_owned`: a backlog is long, and what one process works on is not.
_TOUCHED: Final = "SELECT conversation_id, touched FROM lanes WHERE owner = ? AND owner <> ''"
_SILENT: Final = (
    "SELECT l.conversation_id FROM lanes l "
    "JOIN conversations v ON v.tenant_id = l.tenant_id AND v.id = l.conversation_id "
    "LEFT JOIN bots b ON b.tenant_id = v.tenant_id AND b.id = v.bot_id "
    "LEFT JOIN numbers n ON n.tenant_id = v.tenant_id AND n.id = v.number_id AND n.bot_id = b.id "
    "WHERE l.owner = ? AND l.owner <> '' "
    "AND (COALESCE(b.is_active, 0) = 0 OR b.deleted_at IS NOT NULL OR COALESCE(n.autoreply, 0) = 0)"
)


class DueLane(NamedTuple):
    """A conversation whose turn may begin at `due_us`."""

    tenant_id: str
    conversation_id: str
    due_us: int


class Lane(NamedTuple):
    """One row; times in microseconds. `first_us` is when the oldest message came that no turn has taken up, or 0."""

    due_us: int | None
    first_us: int
    touched: int
    owner: str
    lease_us: int


def touch(db: Transaction, tenant_id: str, conversation_id: str, at_us: int, wait_us: int, most_us: int) -> int:
    """Something came that a turn may answer: begin `wait_us` from now, at most `most_us` after the first of them.

    Returns when. A wait of 0 begins at once, whatever waited before.
    """
    row = db.one(
        "INSERT INTO lanes (tenant_id, conversation_id, due_at, first_at, touched) VALUES (?, ?, ?, ?, 1) "
        "ON CONFLICT (tenant_id, conversation_id) DO UPDATE SET touched = lanes.touched + 1, "
        "first_at = CASE WHEN lanes.due_at IS NULL OR lanes.first_at = 0 THEN excluded.first_at "
        "ELSE lanes.first_at END "
        "RETURNING first_at",
        *(tenant_id, conversation_id, at_us + wait_us, at_us),
    )
    first_us = at_us if row is None else int(row[0])
    due_us = max(at_us, min(at_us + wait_us, first_us + max(most_us, wait_us if first_us == at_us else 0)))
    db.do("UPDATE lanes SET due_at = ? WHERE tenant_id = ? AND conversation_id = ?", due_us, tenant_id, conversation_id)
    return due_us


def nudge(db: Transaction, tenant_id: str, conversation_id: str) -> None:
    """Let a turn that is running look again; begins none."""
    sql = "UPDATE lanes SET touched = touched + 1 WHERE tenant_id = ? AND conversation_id = ?"
    db.do(sql, tenant_id, conversation_id)


def find(db: Transaction, tenant_id: str, conversation_id: str) -> Lane | None:
    row = db.one(
        "SELECT due_at, first_at, touched, owner, lease_until FROM lanes WHERE tenant_id = ? AND conversation_id = ?",
        *(tenant_id, conversation_id),
    )
    return None if row is None else Lane(*row)


def due(db: Transaction, at_us: int, limit: int, but_of: Sequence[str] = ()) -> list[DueLane]:
    """Conversations whose turn may begin and that nobody works on, but for some tenants' oldest first."""
    places = ", ".join("?" * len(but_of))
    others = f"AND tenant_id NOT IN ({places}) " if but_of else ""
    rows = db.all(
        "SELECT tenant_id, conversation_id, due_at FROM lanes "
        f"WHERE due_at IS NOT NULL AND due_at <= ? AND lease_until <= ? {others}ORDER BY due_at LIMIT ?",
        *(at_us, at_us, *but_of, limit),
    )
    return [DueLane(*row) for row in rows]


def next_due(db: Transaction, after_us: int) -> int | None:
    """When the next turn after that time may begin, whose ever it is."""
    row = db.one("SELECT MIN(due_at) FROM lanes WHERE due_at IS NOT NULL AND due_at > ?", after_us)
    return None if row is None else row[0]


def touched(db: Transaction, owner: str) -> dict[str, int]:
    """`touched` of the lanes that `owner` works on."""
    rows = db.all(_TOUCHED, owner)
    return {row[0]: row[1] for row in rows}


def silent(db: Transaction, owner: str) -> list[str]:
    """Those of the lanes that `owner` works on whose bot is off by now, or deleted, or answers at their number no more.

    Switching it off writes to none of them, however many there are.
    """
    rows = db.all(_SILENT, owner)
    return [row[0] for row in rows]


def claim(db: Transaction, tenant_id: str, conversation_id: str, owner: str, at_us: int, lease_us: int) -> Lane | None:
    """Work on it until `lease_us`; None when somebody else does, or nothing is due any more.

    It stays due, so that somebody takes it up after the lease if this one dies.
    """
    row = db.one(
        "UPDATE lanes SET owner = ?, lease_until = ?, first_at = 0 WHERE tenant_id = ? AND conversation_id = ? "
        "AND due_at IS NOT NULL AND due_at <= ? AND lease_until <= ? "
        "RETURNING due_at, first_at, touched, owner, lease_until",
        *(owner, lease_us, tenant_id, conversation_id, at_us, at_us),
    )
    return None if row is None else Lane(*row)


def renew(db: Transaction, tenant_id: str, conversation_id: str, owner: str, lease_us: int) -> bool:
    """False when the lease is another's by now."""
    sql = "UPDATE lanes SET lease_until = ? WHERE tenant_id = ? AND conversation_id = ? AND owner = ?"
    return db.run(sql, lease_us, tenant_id, conversation_id, owner) > 0


def holds(db: Transaction, tenant_id: str, conversation_id: str, owner: str) -> bool:
    """Whether `owner` still works on it: what a turn writes is written only then."""
    row = db.one("SELECT owner FROM lanes WHERE tenant_id = ? AND conversation_id = ?", tenant_id, conversation_id)
    return row is not None and row[0] == owner


def put_down(db: Transaction, tenant_id: str, conversation_id: str, owner: str) -> bool:
    """Let another process take it up at once; False when it is another's already."""
    sql = "UPDATE lanes SET owner = '', lease_until = 0 WHERE tenant_id = ? AND conversation_id = ? AND owner = ?"
    return db.run(sql, tenant_id, conversation_id, owner) > 0


def leave(
    db: Transaction, tenant_id: str, conversation_id: str, owner: str, seen: int, again_us: int | None = None
) -> None:
    """Stop working on it. Nothing is due any more unless it was touched since `seen`, or at `again_us`."""
    db.do(
        "UPDATE lanes SET owner = '', lease_until = 0, "
        "due_at = CASE WHEN touched > ? THEN due_at ELSE ? END WHERE tenant_id = ? AND conversation_id = ? "
        "AND owner = ?",
        *(seen, again_us, tenant_id, conversation_id, owner),
    )
