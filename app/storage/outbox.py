"""The outbox: what is to be sent to webhooks, written in the transaction of what it tells of.

A delivery is due at `due_at`. Whoever takes it up moves that to the end of a lease, so that nobody else does meanwhile
and somebody does when its process dies; the end of the lease is also the token by which an outcome is recognised.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from app.core.identity import new_uuid
from app.core.times import iso_time
from app.storage.database import Transaction

#: A webhook that subscribed to this hears everything.
ALL_EVENTS: Final = "*"


class Queue(NamedTuple):
    """A webhook with something to send, and when the first of it is due."""

    tenant_id: str
    webhook_id: str
    url: str
    due_us: int


class Taken(NamedTuple):
    """A delivery that is ours until `lease_us`; the secrets are sealed, `old_secret` is "" when there is none."""

    id: str
    webhook_id: str
    event: str
    body: str
    attempts: int
    lease_us: int
    url: str
    secret: str
    old_secret: str


class Attempt(NamedTuple):
    """What came of one: `status` is the receiver's, None when it gave none; `reply` the beginning of its answer."""

    at_us: int
    ms: int
    status: int | None
    error: str
    reply: str

    @property
    def ended_us(self) -> int:
        return self.at_us + self.ms * 1000


def emit(db: Transaction, tenant_id: str, event: str, data: dict[str, Any], at_us: int) -> int:
    """Tell each of the tenant's active webhooks that listens for `event`; how many.

    `data` is shown to the receiver as it is. Belongs into the transaction of what it tells of, so that both happen or
    neither; its scope is this tenant, so that no webhook goes meanwhile.
    """
    rows = db.all("SELECT id, events FROM webhooks WHERE tenant_id = ? AND is_active = 1", tenant_id)
    told = [webhook_id for webhook_id, events in rows if listens(events, event)]
    if told:
        body = event_body(event, data, at_us)
        for webhook_id in told:
            put(db, tenant_id, webhook_id, event, body, at_us)
    return len(told)


def listens(events: str, event: str) -> bool:
    """Whether a webhook's `events`, as they are stored, name this one."""
    names = events.split(",")
    return event in names or ALL_EVENTS in names


def event_body(event: str, data: dict[str, Any], at_us: int) -> str:
    """The text that is signed and sent, the same at every attempt."""
    return msgspec.json.encode({"event": event, "data": data, "timestamp": iso_time(at_us)}).decode()


def put(
    db: Transaction, tenant_id: str, webhook_id: str, event: str, body: str, at_us: int, replay_of: str | None = None
) -> str:
    """Add a delivery that is due now; returns its id."""
    delivery_id = new_uuid(at_us)
    db.do(
        "INSERT INTO deliveries (tenant_id, id, webhook_id, event, body, due_at, created_at, replay_of) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, delivery_id, webhook_id, event, body, at_us, at_us, replay_of),
    )
    return delivery_id


#: Jumps from webhook to webhook in the index `deliveries_due`. `>=` and not `=`, for which SQLite may make an index of
#: its own each time; there is something at `w.id`.
_QUEUES: Final = """
    WITH RECURSIVE queue (webhook_id, place) AS (
        SELECT MIN(webhook_id), 1 FROM deliveries WHERE state = 'pending' AND webhook_id > ?
        UNION ALL
        SELECT (SELECT MIN(d.webhook_id) FROM deliveries d WHERE d.state = 'pending' AND d.webhook_id > q.webhook_id),
            q.place + 1
        FROM queue q WHERE q.webhook_id IS NOT NULL AND q.place < ?)
    SELECT w.tenant_id, w.id, w.url,
        (SELECT d.due_at FROM deliveries d WHERE d.state = 'pending' AND d.webhook_id >= w.id
            ORDER BY d.webhook_id, d.due_at LIMIT 1)
    FROM queue q JOIN webhooks w ON w.id = q.webhook_id ORDER BY q.place"""


def queues(db: Transaction, after: str, limit: int) -> list[Queue]:
    """The next webhooks by id, whose ever they are, that have something to send; "" is before the first.

    Costs a few probes of an index for each of them, however much waits there.
    """
    return [Queue(*row) for row in db.all(_QUEUES, after, limit)]


def take(db: Transaction, tenant_id: str, webhook_id: str, at_us: int, lease_us: int) -> Taken | None:
    """Take up what has been due for longest, until `lease_us`; None when nothing is."""
    taken = db.one(
        "UPDATE deliveries SET due_at = ? WHERE tenant_id = ? AND id = (SELECT id FROM deliveries "
        "WHERE tenant_id = ? AND webhook_id = ? AND state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT 1) "
        "RETURNING id, webhook_id, event, body, attempts, due_at",
        *(lease_us, tenant_id, tenant_id, webhook_id, at_us),
    )
    webhook = db.one(
        "SELECT url, secret, CASE WHEN old_secret_until > ? THEN old_secret ELSE '' END "
        "FROM webhooks WHERE tenant_id = ? AND id = ?",
        *(at_us, tenant_id, webhook_id),
    )
    return None if taken is None or webhook is None else Taken(*taken, *webhook)


def finish(
    db: Transaction, tenant_id: str, taken: Taken, attempt: Attempt, *, delivered: bool, due_us: int | None
) -> bool:
    """Record an attempt: it was delivered, is due again at `due_us`, or has failed for good.

    False when the delivery is no longer ours, and nothing is recorded: the lease was over, or its webhook is.
    """
    state = "delivered" if delivered else "failed" if due_us is None else "pending"
    changed = db.run(
        "UPDATE deliveries SET state = ?, attempts = ?, status = ?, error = ?, due_at = ?, delivered_at = ? "
        "WHERE tenant_id = ? AND id = ? AND state = 'pending' AND due_at = ?",
        *(state, taken.attempts + 1, attempt.status, attempt.error, due_us or attempt.ended_us),
        *(attempt.ended_us if delivered else None, tenant_id, taken.id, taken.lease_us),
    )
    if changed:
        db.do(
            "INSERT INTO delivery_attempts (tenant_id, delivery_id, number, at, ms, status, error, reply) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(tenant_id, taken.id, taken.attempts + 1, *attempt),
        )
    return bool(changed)


def stop(db: Transaction, tenant_id: str, webhook_id: str, error: str) -> None:
    """Fail what waits to be sent to a webhook that is switched off or deleted in the same transaction."""
    db.do(
        "UPDATE deliveries SET state = 'failed', error = ? "
        "WHERE tenant_id = ? AND webhook_id = ? AND state = 'pending'",
        *(error, tenant_id, webhook_id),
    )
