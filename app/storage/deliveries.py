"""Deliveries as their organisation reads them back, page by page or with every attempt, and what ends them in time."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.core.times import Place
from app.storage.database import Transaction
from app.storage.outbox import Attempt


class StoredDelivery(NamedTuple):
    """One row; `status` and `error` are those of the last attempt."""

    id: str
    webhook_id: str
    event: str
    state: str
    attempts: int
    status: int | None
    error: str
    replay_of: str | None
    created_us: int
    delivered_us: int | None
    due_us: int
    body: str


_COLUMNS: Final = (
    "id, webhook_id, event, state, attempts, status, error, replay_of, created_at, delivered_at, due_at, body"
)


def find_delivery(db: Transaction, tenant_id: str, webhook_id: str, delivery_id: str) -> StoredDelivery | None:
    row = db.one(
        f"SELECT {_COLUMNS} FROM deliveries WHERE tenant_id = ? AND webhook_id = ? AND id = ?",
        *(tenant_id, webhook_id, delivery_id),
    )
    return None if row is None else StoredDelivery(*row)


def list_deliveries(
    db: Transaction, tenant_id: str, webhook_id: str, *, after: Place | None, limit: int
) -> list[StoredDelivery]:
    """The next ones after a place, newest first."""
    place: tuple[object, ...] = after or ()
    beyond = "" if after is None else "AND (created_at, id) < (?, ?) "
    rows = db.all(
        f"SELECT {_COLUMNS} FROM deliveries WHERE tenant_id = ? AND webhook_id = ? {beyond}"
        "ORDER BY created_at DESC, id DESC LIMIT ?",
        *(tenant_id, webhook_id, *place, limit),
    )
    return [StoredDelivery(*row) for row in rows]


def list_attempts(db: Transaction, tenant_id: str, delivery_id: str) -> list[Attempt]:
    """Oldest first."""
    rows = db.all(
        "SELECT at, ms, status, error, reply FROM delivery_attempts WHERE tenant_id = ? AND delivery_id = ? "
        "ORDER BY number",
        *(tenant_id, delivery_id),
    )
    return [Attempt(*row) for row in rows]


def count_pending(db: Transaction, tenant_id: str, webhook_id: str, most: int) -> int:
    """How many wait to be sent to this webhook; counts no further than `most`."""
    row = db.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries "
        "WHERE tenant_id = ? AND webhook_id = ? AND state = 'pending' LIMIT ?) AS waiting",
        *(tenant_id, webhook_id, most),
    )
    return int(row[0]) if row else 0


def give_up(db: Transaction, before_us: int, error: str, limit: int) -> int:
    """Fail what has waited since before that time, whose ever it is; how many, at most `limit`."""
    return db.run(
        "UPDATE deliveries SET state = 'failed', error = ? WHERE state = 'pending' AND (tenant_id, id) IN "
        "(SELECT tenant_id, id FROM deliveries WHERE state = 'pending' AND created_at <= ? LIMIT ?)",
        *(error, before_us, limit),
    )


def sweep(db: Transaction, before_us: int, limit: int) -> int:
    """Delete what was made before that time and is over, with its attempts; how many, at most `limit`."""
    old = (
        "(SELECT tenant_id, id FROM deliveries WHERE created_at <= ? AND state <> 'pending' "
        "ORDER BY created_at, tenant_id, id LIMIT ?)"
    )
    db.do(f"DELETE FROM delivery_attempts WHERE (tenant_id, delivery_id) IN {old}", before_us, limit)
    return db.run(f"DELETE FROM deliveries WHERE (tenant_id, id) IN {old}", before_us, limit)
