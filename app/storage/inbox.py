"""The inbox: what has come in on a number, once, in the order in which it came, until it has been sorted.

A row is `pending` until it is applied in one transaction with its effects, then `done`; `dead` is one that cannot be
applied, which has a dead letter. Rows stay for weeks, since providers tell the same again for days.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from app.storage.database import Transaction

#: Rows of one INSERT.
AT_ONCE: Final = 250
#: Numbers of order for each microsecond, so that what came in one request keeps its order.
STEPS: Final = 1000


class NewEvent(NamedTuple):
    """One update; `event_key` is the same however often it is told, `body` is `channels.whatsapp.updates` as JSON."""

    number_id: str
    event_key: str
    kind: str
    body: str


class Event(NamedTuple):
    """One that waits to be sorted. `tries` says how often that was put off."""

    number_id: str
    event_key: str
    kind: str
    body: str
    seq: int
    received_us: int
    tries: int


class Waiting(NamedTuple):
    """A tenant with something to sort, and when the first of it is due."""

    tenant_id: str
    due_us: int


_EVENT: Final = "number_id, event_key, kind, body, seq, received_at, tries"
_ONE: Final = "tenant_id = ? AND number_id = ? AND event_key = ?"
#: Jumps from tenant to tenant in the index `inbox_waiting`, however much each has. `>=` and not `=`, for which SQLite
#: may make an index of its own each time; there is something at `w.tenant_id`.
_WAITING: Final = """
    WITH RECURSIVE waiting (tenant_id, place) AS (
        SELECT MIN(tenant_id), 1 FROM inbox WHERE state = 'pending' AND tenant_id > ?
        UNION ALL
        SELECT (SELECT MIN(i.tenant_id) FROM inbox i WHERE i.state = 'pending' AND i.tenant_id > w.tenant_id),
            w.place + 1
        FROM waiting w WHERE w.tenant_id IS NOT NULL AND w.place < ?)
    SELECT w.tenant_id,
        (SELECT i.due_at FROM inbox i WHERE i.state = 'pending' AND i.tenant_id >= w.tenant_id
            ORDER BY i.tenant_id, i.due_at LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL ORDER BY w.place"""


def insert(db: Transaction, tenant_id: str, events: Sequence[NewEvent], at_us: int) -> int:
    """Keep those that have not come before; how many they are."""
    ordered = enumerate(events, at_us * STEPS)
    # In the order of their keys, so that two processes that are told the same never wait for each other.
    rows = iter(sorted((event.number_id, event.event_key, seq, event) for seq, event in ordered))
    new = 0
    while part := list(islice(rows, AT_ONCE)):
        places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * len(part))
        values: list[object] = []
        for number_id, event_key, seq, event in part:
            values += (tenant_id, number_id, event_key, seq, event.kind, event.body, at_us, at_us)
        new += db.run(
            "INSERT INTO inbox (tenant_id, number_id, event_key, seq, kind, body, received_at, due_at) "
            f"VALUES {places} ON CONFLICT (tenant_id, number_id, event_key) DO NOTHING",
            *values,
        )
    return new


def waiting(db: Transaction, after: str, limit: int) -> list[Waiting]:
    """The next tenants with something that waits, "" being before the first."""
    return [Waiting(*row) for row in db.all(_WAITING, after, limit)]


def pending(db: Transaction, tenant_id: str, at_us: int, limit: int) -> list[Event]:
    """What is due, in the order in which it came; what was put off comes behind."""
    rows = db.all(
        f"SELECT {_EVENT} FROM inbox WHERE tenant_id = ? AND state = 'pending' AND due_at <= ? "
        "ORDER BY due_at, seq LIMIT ?",
        *(tenant_id, at_us, limit),
    )
    return [Event(*row) for row in rows]


def waits(db: Transaction, tenant_id: str, event: Event) -> bool:
    """Whether it is still to be sorted: another process may have been quicker."""
    return db.one(f"SELECT 1 FROM inbox WHERE {_ONE} AND state = 'pending'", tenant_id, *event[:2]) is not None


def finish(db: Transaction, tenant_id: str, event: Event, state: str, error: str = "") -> None:
    """It has been sorted (`done`), or cannot be (`dead`); `error` is why it changed nothing."""
    db.do(f"UPDATE inbox SET state = ?, error = ? WHERE {_ONE}", state, error, tenant_id, *event[:2])


def put_off(db: Transaction, tenant_id: str, event: Event, due_us: int, error: str) -> None:
    """Look at it again later."""
    sql = f"UPDATE inbox SET due_at = ?, tries = tries + 1, error = ? WHERE {_ONE} AND state = 'pending'"
    db.do(sql, due_us, error, tenant_id, *event[:2])


def revive(db: Transaction, tenant_id: str, event: NewEvent, at_us: int) -> None:
    """Sort it, whether it is new or was given up; what was done already stays so."""
    if insert(db, tenant_id, [event], at_us) == 0:
        db.do(
            f"UPDATE inbox SET state = 'pending', due_at = ?, tries = 0, error = '' WHERE {_ONE} AND state = 'dead'",
            *(at_us, tenant_id, *event[:2]),
        )


def sweep(db: Transaction, before_us: int, limit: int) -> int:
    """Forget some of what came before then; how many."""
    return db.run(
        "DELETE FROM inbox WHERE (tenant_id, number_id, event_key) IN "
        "(SELECT tenant_id, number_id, event_key FROM inbox WHERE received_at < ? ORDER BY received_at LIMIT ?)",
        *(before_us, limit),
    )
