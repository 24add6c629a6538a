"""Sums over the channels of every tenant, for monitoring: what waits where, and for how long.

Each is read from an index that holds only what waits, so it takes as long as the backlog and not as the table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.core.times import DAY_US
from app.storage.database import Transaction

#: A turn that could have begun so long ago is overdue.
OVERDUE_US: Final = 5_000_000
#: `seq` of what goes out is the time when it was written, times this (`channels.conversations.posting`).
STEPS: Final = 1000


class InboxSums(NamedTuple):
    """`due_us` is since when the oldest could be sorted; None when nothing waits."""

    pending: int
    due_us: int | None


class LaneSums(NamedTuple):
    """`due` includes `overdue`; `running` are worked on by some process."""

    due: int
    overdue: int
    running: int


class SendSums(NamedTuple):
    """`oldest_us` is when the oldest queued one was written; None when nothing is queued."""

    queued: int
    sending: int
    unknown: int
    oldest_us: int | None


class Sums(NamedTuple):
    """All of it. `letters`: of tenants, of nobody."""

    inbox: InboxSums
    letters: tuple[int, int]
    lanes: LaneSums
    sends: SendSums
    numbers_in_error: int


def sums(db: Transaction, at_us: int) -> Sums:
    return Sums(_inbox(db), _letters(db, at_us), _lanes(db, at_us), _sends(db), _numbers_in_error(db))


def _inbox(db: Transaction) -> InboxSums:
    return InboxSums(*db.all("SELECT COUNT(*), MIN(due_at) FROM inbox WHERE state = 'pending'")[0])


def _letters(db: Transaction, at_us: int) -> tuple[int, int]:
    """What came in the last 24 hours and was not tried again."""
    row = db.all(
        "SELECT COUNT(*), COALESCE(SUM(CASE WHEN tenant_id = '' THEN 1 ELSE 0 END), 0) FROM dead_letters "
        "WHERE received_at > ? AND replayed_at IS NULL",
        at_us - DAY_US,
    )[0]
    return int(row[0]) - int(row[1]), int(row[1])


def _lanes(db: Transaction, at_us: int) -> LaneSums:
    row = db.all(
        "SELECT COALESCE(SUM(CASE WHEN due_at <= ? AND lease_until <= ? THEN 1 ELSE 0 END), 0), "
        "COALESCE(SUM(CASE WHEN due_at <= ? AND lease_until <= ? THEN 1 ELSE 0 END), 0), "
        "COALESCE(SUM(CASE WHEN lease_until > ? THEN 1 ELSE 0 END), 0) FROM lanes WHERE due_at IS NOT NULL",
        *(at_us, at_us, at_us - OVERDUE_US, at_us, at_us),
    )[0]
    return LaneSums(*map(int, row))


def _sends(db: Transaction) -> SendSums:
    queued, seq = db.all("SELECT COUNT(*), MIN(seq) FROM sends WHERE state = 'queued'")[0]
    rows = db.all("SELECT state, COUNT(*) FROM sends WHERE state IN ('sending', 'unknown') GROUP BY state")
    underway = {state: int(count) for state, count in rows}
    oldest_us = None if seq is None else seq // STEPS
    return SendSums(queued, underway.get("sending", 0), underway.get("unknown", 0), oldest_us)


def _numbers_in_error(db: Transaction) -> int:
    return int(db.all("SELECT COUNT(*) FROM numbers WHERE state = 'error'")[0][0])


class Connected(NamedTuple):
    """Numbers of a provider that were not disconnected, and how many of them have a verify token of their own."""

    provider: str
    numbers: int
    verify_tokens: int


class RefusedNumber(NamedTuple):
    """A number in state `error`."""

    tenant_id: str
    account: str
    error: str


def connected(db: Transaction) -> list[Connected]:
    rows = db.all(
        "SELECT provider, COUNT(*), SUM(CASE WHEN verify_digest <> '' THEN 1 ELSE 0 END) FROM numbers "
        "WHERE secrets <> '' GROUP BY provider ORDER BY provider"
    )
    return [Connected(provider, int(count), int(tokens)) for provider, count, tokens in rows]


def refused(db: Transaction, limit: int) -> list[RefusedNumber]:
    """The first of them, by tenant."""
    rows = db.all(
        "SELECT tenant_id, account, error FROM numbers WHERE state = 'error' ORDER BY tenant_id, id LIMIT ?", limit
    )
    return [RefusedNumber(*row) for row in rows]
