"""What may go out next: numbers with something due, what waits there, and the paces that hold it back.

`due_at` of a queued row is when it may be looked at; a row in `sending` or `unknown` is open until its lease ends, and
that end is also the token by which its outcome is recognised.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.storage.database import Transaction


class Queue(NamedTuple):
    """A number with something queued, and when the first of it is due."""

    tenant_id: str
    number_id: str
    due_us: int


class Pace(NamedTuple):
    """How fast a number may send. `slow_us` is the pause between two messages as it was when the provider last said
    that it was too fast, 0 before; from `paused_us` on it is taken back."""

    tat_us: int
    slow_us: int
    paused_us: int
    spam_us: int


class Candidate(NamedTuple):
    """A queued row that is first in its conversation, with everything that decides whether it goes now."""

    id: str
    due_us: int
    seq: int
    origin: str
    kind: str
    body: str
    created_us: int
    bot_active: int
    #: Of the contact, "" for one that is gone.
    contact_id: str
    phone: str
    user_id: str
    window_us: int
    tat_us: int
    paused_us: int
    backoff: int


class Open(NamedTuple):
    """A row that is on its way and whose lease is over."""

    tenant_id: str
    id: str


#: Jumps from number to number in the index `sends_due`, as `outbox.queues` does from webhook to webhook.
_QUEUES: Final = """
    WITH RECURSIVE queue (number_id, place) AS (
        SELECT MIN(number_id), 1 FROM sends WHERE state = 'queued' AND number_id > ?
        UNION ALL
        SELECT (SELECT MIN(s.number_id) FROM sends s WHERE s.state = 'queued' AND s.number_id > q.number_id),
            q.place + 1
        FROM queue q WHERE q.number_id IS NOT NULL AND q.place < ?)
    SELECT n.tenant_id, n.id,
        (SELECT s.due_at FROM sends s WHERE s.state = 'queued' AND s.number_id >= n.id
            ORDER BY s.number_id, s.due_at LIMIT 1)
    FROM queue q JOIN numbers n ON n.id = q.number_id ORDER BY q.place"""
#: A part of the conversation that was written before and is not out of the way yet.
_AHEAD: Final = """
    SELECT 1 FROM sends e WHERE e.tenant_id = s.tenant_id AND e.conversation_id = s.conversation_id AND e.seq < s.seq
    AND e.state IN ('making', 'queued', 'sending', 'unknown', 'accepted', 'sent')
    AND (e.state <> 'making' OR e.created_at > ?) AND (e.state NOT IN ('accepted', 'sent') OR e.accepted_at > ?)"""
_CANDIDATES: Final = f"""
    SELECT s.id, s.due_at, s.seq, s.origin, s.kind, s.body, s.created_at,
        CASE WHEN b.is_active = 1 AND b.deleted_at IS NULL THEN 1 ELSE 0 END,
        COALESCE(c.id, ''), COALESCE(c.phone, ''), COALESCE(c.user_id, ''), COALESCE(c.window_until, 0),
        COALESCE(c.tat, 0), COALESCE(c.paused_until, 0), COALESCE(c.backoff, 0)
    FROM sends s LEFT JOIN conversations v ON v.tenant_id = s.tenant_id AND v.id = s.conversation_id
    LEFT JOIN contacts c ON c.tenant_id = v.tenant_id AND c.id = v.contact_id
    LEFT JOIN bots b ON b.tenant_id = v.tenant_id AND b.id = v.bot_id
    WHERE s.tenant_id = ? AND s.number_id = ? AND s.state = 'queued' AND s.origin = ? AND s.due_at <= ?
    AND NOT EXISTS ({_AHEAD}) ORDER BY s.due_at, s.seq LIMIT ?"""
#: A voice note that is not there after so long holds up nothing any more.
MAKING_US: Final = 300_000_000


def queues(db: Transaction, after: str, limit: int) -> list[Queue]:
    """The next numbers by id, whose ever they are, that have something to send; "" is before the first."""
    return [Queue(*row) for row in db.all(_QUEUES, after, limit)]


def pace(db: Transaction, tenant_id: str, number_id: str) -> Pace:
    row = db.one(
        "SELECT tat, pace_us, paused_until, spam_until FROM numbers WHERE tenant_id = ? AND id = ?",
        tenant_id,
        number_id,
    )
    return Pace(*row) if row is not None else Pace(0, 0, 0, 0)


def set_pace(db: Transaction, tenant_id: str, number_id: str, pace: Pace) -> None:
    db.do(
        "UPDATE numbers SET tat = ?, pace_us = ?, paused_until = ?, spam_until = ? WHERE tenant_id = ? AND id = ?",
        *(*pace, tenant_id, number_id),
    )


def set_pair(db: Transaction, tenant_id: str, contact_id: str, tat_us: int, paused_us: int, backoff: int) -> None:
    """The pace towards one contact; `backoff` is how often in a row the provider said that it was too fast."""
    db.do(
        "UPDATE contacts SET tat = ?, paused_until = ?, backoff = ? WHERE tenant_id = ? AND id = ?",
        *(tat_us, paused_us, backoff, tenant_id, contact_id),
    )


def candidates(
    db: Transaction, tenant_id: str, number_id: str, origin: str, at_us: int, settled_us: int, limit: int
) -> list[Candidate]:
    """What of this origin may go, oldest first: of each conversation what comes next, if what is before it was
    accepted by `settled_us` or is final."""
    rows = db.all(_CANDIDATES, tenant_id, number_id, origin, at_us, at_us - MAKING_US, settled_us, limit)
    return [Candidate(*row) for row in rows]


def mark_sending(db: Transaction, tenant_id: str, send_id: str, at_us: int, lease_us: int) -> int:
    """It is about to leave, until `lease_us`; the number of this attempt."""
    row = db.one(
        "UPDATE sends SET state = 'sending', attempts = attempts + 1, lease_until = ?, reason = '', updated_at = ?, "
        "first_at = CASE WHEN first_at = 0 THEN ? ELSE first_at END WHERE tenant_id = ? AND id = ? RETURNING attempts",
        *(lease_us, at_us, at_us, tenant_id, send_id),
    )
    return 0 if row is None else int(row[0])


def postpone(db: Transaction, tenant_id: str, send_id: str, due_us: int) -> None:
    """Nobody needs to look at it before that."""
    db.do("UPDATE sends SET due_at = ? WHERE tenant_id = ? AND id = ?", due_us, tenant_id, send_id)


def old_ones(db: Transaction, tenant_id: str, number_id: str, before_us: int, limit: int) -> list[str]:
    """What has waited at this number since before that time."""
    rows = db.all(
        "SELECT id FROM sends WHERE tenant_id = ? AND number_id = ? AND state = 'queued' AND created_at < ? "
        "ORDER BY due_at LIMIT ?",
        *(tenant_id, number_id, before_us, limit),
    )
    return [row[0] for row in rows]


def overdue(db: Transaction, at_us: int, limit: int) -> list[Open]:
    """What is on its way and was last heard of too long ago, whose ever it is, oldest first."""
    rows = db.all(
        "SELECT tenant_id, id FROM sends WHERE state IN ('sending', 'unknown') AND lease_until <= ? "
        "ORDER BY lease_until LIMIT ?",
        *(at_us, limit),
    )
    return [Open(*row) for row in rows]


def lease(db: Transaction, tenant_id: str, send_id: str, lease_us: int) -> None:
    """Somebody is finding out what came of it, until then."""
    db.do("UPDATE sends SET lease_until = ? WHERE tenant_id = ? AND id = ?", lease_us, tenant_id, send_id)


def to_charge(db: Transaction, after: tuple[int, str], limit: int) -> list[tuple[str, str, str, int]]:
    """(tenant, bot, send, when) of templates that have arrived and are not paid for, whose ever they are, after a place
    of (time, id)."""
    rows = db.all(
        "SELECT s.tenant_id, v.bot_id, s.id, s.updated_at FROM sends s JOIN conversations v "
        "ON v.tenant_id = s.tenant_id AND v.id = s.conversation_id "
        "WHERE s.kind = 'template' AND s.charge_id = '' AND s.state IN ('delivered', 'read') "
        "AND (s.updated_at, s.id) > (?, ?) ORDER BY s.updated_at, s.id LIMIT ?",
        *(*after, limit),
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def set_charge(db: Transaction, tenant_id: str, send_id: str, call_id: str) -> bool:
    """It is paid for by this call; False when it is by another already."""
    sql = "UPDATE sends SET charge_id = ? WHERE tenant_id = ? AND id = ? AND charge_id = ''"
    return db.run(sql, call_id, tenant_id, send_id) > 0


def set_pair_backoff(db: Transaction, tenant_id: str, contact_id: str, backoff: int) -> None:
    sql = "UPDATE contacts SET backoff = ? WHERE tenant_id = ? AND id = ? AND backoff <> ?"
    db.do(sql, backoff, tenant_id, contact_id, backoff)


def forget_attempts(db: Transaction, tenant_id: str, send_id: str) -> None:
    """The time in which it may be tried begins anew: it was not to blame."""
    db.do("UPDATE sends SET first_at = 0 WHERE tenant_id = ? AND id = ?", tenant_id, send_id)


def tell_error(db: Transaction, tenant_id: str, number_id: str, error: str, at_us: int) -> None:
    """What the provider has against this number, although it still serves it."""
    sql = "UPDATE numbers SET error = ?, updated_at = ? WHERE tenant_id = ? AND id = ?"
    db.do(sql, error, at_us, tenant_id, number_id)


def set_content(db: Transaction, tenant_id: str, send_id: str, kind: str, body: str) -> None:
    """This goes out in place of what was to."""
    db.do("UPDATE sends SET kind = ?, body = ? WHERE tenant_id = ? AND id = ?", kind, body, tenant_id, send_id)
