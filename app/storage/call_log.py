"""Calls as the log shows them: newest first, by any mixture of filters, with a bound on what a page looks at.

A page looks at no more than `REACH` calls of one index, so that a filter that hardly any call meets costs no more than
one that all meet. Where the search broke off, the sums by day tell the next day with a call of that kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from app.core.ledger import Outcome
from app.core.outcomes import RUNNING, Endings
from app.core.times import BEFORE_ALL_IDS, DAY_US, Place
from app.storage.database import Transaction

#: Looking at so many calls takes a few milliseconds.
REACH: Final = 5_000
FAR_AWAY: Final = Place(2**62, BEFORE_ALL_IDS)


class LoggedCall(NamedTuple):
    """One row of the log; times in microseconds, amounts in ucr."""

    id: str
    opened_us: int
    ended_us: int | None
    category: str
    endpoint: str
    model: str
    key_id: str
    request_id: str
    session_id: str
    trace_id: str
    outcome: Outcome | None
    failure: str
    input_tokens: int | None
    output_tokens: int | None
    audio_ms: int | None
    charge: int


_COLUMNS: Final = (
    "id, opened_at, ended_at, category, endpoint, model, key_id, request_id, session_id, trace_id, outcome, failure, "
    "input_tokens, output_tokens, audio_ms, charge"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls: what is None does not matter. `since` is the last place that may be in, `before` the first not."""

    since: Place
    before: Place = FAR_AWAY
    category: str | None = None
    model: str | None = None
    key_id: str | None = None
    endings: Endings | None = None
    session_id: str | None = None
    trace_id: str | None = None
    offset: int = 0
    limit: int = 100


class Listed(NamedTuple):
    """The calls of a page. `searched_to`: it broke off there, and there may be more."""

    calls: list[LoggedCall]
    searched_to: Place | None


class _Condition(NamedTuple):
    """A part of the filters. What leads through an index of its own is `path`, word for word as that index has it."""

    sql: str
    values: tuple[str, ...] = ()
    path: bool = False


def list_calls(db: Transaction, tenant_id: str, wanted: Wanted) -> Listed:
    """The next calls of the log, newest first; fewer than wanted at its end, or where the search broke off."""
    conditions = _conditions(wanted)
    path = [each for each in conditions if each.path][:1]
    horizon = _place(db, tenant_id, wanted, path, REACH) if conditions else None
    if horizon is not None:
        wanted = replace(wanted, since=horizon)
    if wanted.offset:
        last_skipped = _place(db, tenant_id, wanted, conditions, wanted.offset)
        if last_skipped is None:
            return Listed([], horizon)
        wanted = replace(wanted, before=last_skipped)
    sql, values = log_query(_COLUMNS, tenant_id, wanted, conditions)
    calls = [LoggedCall(*row) for row in db.all(f"{sql} LIMIT ?", *values, wanted.limit)]
    return Listed(calls, horizon if len(calls) < wanted.limit else None)


def log_query(
    columns: str, tenant_id: str, wanted: Wanted, conditions: Sequence[_Condition]
) -> tuple[str, tuple[Any, ...]]:
    """The statement behind a page, without its LIMIT, and its values."""
    sql = f"SELECT {columns} FROM calls WHERE tenant_id = ? AND (opened_at, id) >= (?, ?) AND (opened_at, id) < (?, ?)"
    for condition in conditions:
        sql += f" AND {condition.sql}"
    values = (tenant_id, *wanted.since, *wanted.before, *(value for each in conditions for value in each.values))
    return f"{sql} ORDER BY opened_at DESC, id DESC", values


def place_to_go_on(
    db: Transaction, tenant_id: str, wanted: Wanted, searched_to: Place, settled_until_us: int
) -> Place | None:
    """Where the next calls of this kind are, past a place down to which all were looked at; None when nowhere.

    The sums know ended calls only: from `settled_until_us` on, where some may be running, nothing is passed over.
    """
    if searched_to.at_us >= settled_until_us or wanted.session_id is not None or wanted.trace_id is not None:
        return searched_to
    conditions, values = "", [tenant_id, wanted.since.at_us // DAY_US, searched_to.at_us // DAY_US]
    for column in ("key_id", "category", "model"):
        value = getattr(wanted, column)
        if value is not None:
            conditions += f" AND {column} = ?"
            values.append(value)
    if wanted.endings is not None:
        conditions += f" AND {' + '.join(wanted.endings.outcomes) or '0'} > 0"
    row = db.one(
        f"SELECT day FROM usage_days WHERE tenant_id = ? AND day >= ? AND day <= ?{conditions} "
        "ORDER BY day DESC LIMIT 1",
        *values,
    )
    return None if row is None else min(searched_to, Place((row[0] + 1) * DAY_US, BEFORE_ALL_IDS))


def _place(
    db: Transaction, tenant_id: str, wanted: Wanted, conditions: Sequence[_Condition], number: int
) -> Place | None:
    """The place of the nth of these calls, found in the index alone; None when there are fewer."""
    sql, values = log_query("opened_at, id", tenant_id, wanted, conditions)
    row = db.one(f"{sql} LIMIT 1 OFFSET ?", *values, number - 1)
    return None if row is None else Place(*row)


def _conditions(wanted: Wanted) -> list[_Condition]:
    """The filters; the narrowest path comes first."""
    found = []
    for column in ("session_id", "trace_id"):
        value = getattr(wanted, column)
        if value is not None:
            found.append(_Condition(f"{column} <> '' AND {column} = ?", (value,), path=True))
    if wanted.endings is not None:
        found += _ending_conditions(wanted.endings)
    for column in ("key_id", "category", "model"):
        value = getattr(wanted, column)
        if value is not None:
            found.append(_Condition(f"{column} = ?", (value,)))
    return found


def _ending_conditions(endings: Endings) -> list[_Condition]:
    if endings == RUNNING:
        return [_Condition("state = 'held'")]
    if endings.outcomes == ("completed",):
        return [_Condition("outcome = 'completed'")]
    found = [_Condition("outcome <> 'completed'", path=True), _one_of("outcome", endings.outcomes)]
    return found if endings.failures is None else [*found, _one_of("failure", endings.failures)]


def _one_of(column: str, values: tuple[str, ...]) -> _Condition:
    return _Condition(f"{column} IN ({', '.join('?' * len(values))})" if values else "1 = 0", values)
