"""The log of calls against a plain look at every one: any filters, any pages, nothing twice and nothing left out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from app.core.call_facts import Marks, Measured
from app.core.identity import Principal
from app.core.outcomes import GROUPS, endings_of
from app.core.times import BEFORE_ALL_IDS, Place
from app.storage import call_log, ledger
from app.storage.call_log import LoggedCall, Wanted, list_calls, log_query, place_to_go_on
from app.storage.database import Transaction
from app.storage.ledger import Closing, Opening
from tests.books import PLENTY
from tests.databases import ON_POSTGRES
from tests.storage.making import DAY_0, DAY_US, make_key, make_principal, read_key

MODELS = ("kimi-k2.6", "glm-5.2", "nova-3")
SINCE = Place(DAY_0 - 90 * DAY_US, BEFORE_ALL_IDS)
#: Calls from before the day before have ended, as a day later all have.
SETTLED = (DAY_0 // DAY_US - 1) * DAY_US
ENDS = (
    *(("posted", "completed", ""),) * 6,
    ("posted", "cancelled", ""),
    ("voided", "failed", "upstream_error"),
    ("voided", "failed", "rate_limit_exceeded"),
    ("expired", "interrupted", ""),
    None,
)


@dataclass(frozen=True)
class Log:
    """Calls of one organisation in a database, and the same calls in a list, newest first."""

    db: Transaction
    tenant_id: str
    key_ids: tuple[str, ...]
    calls: list[LoggedCall]

    def walk(self, wanted: Wanted) -> list[LoggedCall]:
        """Every page from the first to the last."""
        found: list[LoggedCall] = []
        while True:
            page = list_calls(self.db, self.tenant_id, wanted)
            found += page.calls
            if page.searched_to is not None:
                after = place_to_go_on(self.db, self.tenant_id, wanted, page.searched_to, SETTLED)
            elif len(page.calls) == wanted.limit:
                after = Place(page.calls[-1].opened_us, page.calls[-1].id)
            else:
                after = None
            if after is None:
                return found
            wanted = replace(wanted, before=after)

    def meant(self, wanted: Wanted) -> list[LoggedCall]:
        """The same, found by looking at each call."""
        return [call for call in self.calls if _is_meant(call, wanted)]


def _is_meant(call: LoggedCall, wanted: Wanted) -> bool:
    endings = wanted.endings
    return (
        wanted.since <= (call.opened_us, call.id) < wanted.before
        and wanted.category in (None, call.category)
        and wanted.model in (None, call.model)
        and wanted.key_id in (None, call.key_id)
        and wanted.session_id in (None, call.session_id or "none at all")
        and wanted.trace_id in (None, call.trace_id or "none at all")
        and (
            endings is None
            or (call.outcome is None and endings.outcomes == ())
            or (call.outcome in endings.outcomes and (endings.failures is None or call.failure in endings.failures))
        )
    )


def make_log(db: Transaction, count: int, chance: random.Random) -> Log:
    first = make_principal(db, credit=10**9)
    keys = (first, read_key(db, make_key(db, first.tenant_id, "other")))
    calls = [_make_call(db, chance.choice(keys), number, chance) for number in range(count)]
    newest_first = sorted(calls, key=lambda call: (call.opened_us, call.id), reverse=True)
    return Log(db, first.tenant_id, tuple(key.key_id for key in keys), newest_first)


def _make_call(db: Transaction, who: Principal, number: int, chance: random.Random) -> LoggedCall:
    """Several at the same moment, on a handful of days."""
    at_us = DAY_0 - chance.choice((0, 1, 2, 30, 31, 80)) * DAY_US - chance.randrange(5)
    model = chance.choice(MODELS)
    category = "stt" if model == "nova-3" else "llm"
    marks = Marks(chance.choice(("", "", "s-1", "s-2")), chance.choice(("", "", "", "t-1")))
    call_id = f"call-{number:04}"
    opening = Opening(call_id, f"req_{number}", "/v1/x", category, model, False, 100, at_us, at_us + DAY_US, marks)
    ledger.admit(db, who.tenant_id, who, PLENTY, opening)
    end = chance.choice(ENDS if at_us >= SETTLED else ENDS[:-1])
    call = LoggedCall(
        *(call_id, at_us, None, category, "/v1/x", model, who.key_id, f"req_{number}", marks.session_id),
        *(marks.trace_id, None, "", None, None, None, 0),
    )
    if end is None:
        return call
    state, outcome, failure = end
    cost = 7 if state == "posted" else 0
    used = Measured(number, 2, 1500) if number % 2 else Measured()
    closing: Any = Closing(state, outcome, cost, "none", "B5", "{}", at_us + 9, failure, used)  # type: ignore[arg-type]
    ledger.end(db, who.tenant_id, call_id, closing)
    return call._replace(
        ended_us=at_us + 9,
        outcome=outcome,  # type: ignore[arg-type]
        failure=failure,
        charge=cost,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        audio_ms=used.audio_ms,
    )


def some_filters(log: Log, chance: random.Random) -> dict[str, Any]:
    """None, one or several."""
    endings = [*GROUPS.values(), *map(endings_of, (200, 499, 500, 502, 429, 404))]
    values: dict[str, Callable[[], object]] = {
        "category": partial(chance.choice, ("llm", "stt", "image")),
        "model": partial(chance.choice, (*MODELS, "unheard-of")),
        "key_id": partial(chance.choice, (*log.key_ids, "nobody's")),
        "endings": partial(chance.choice, endings),
        "session_id": partial(chance.choice, ("s-1", "s-2", "s-9", "")),
        "trace_id": partial(chance.choice, ("t-1", "t-9")),
        "since": lambda: Place(DAY_0 - chance.choice((1, 31, 60)) * DAY_US, BEFORE_ALL_IDS),
        "before": lambda: Place(DAY_0 - chance.choice((0, 1, 31, 60)) * DAY_US + chance.randrange(3), BEFORE_ALL_IDS),
    }
    return {name: value() for name, value in values.items() if chance.random() < 0.3}


@pytest.fixture
def log(db: Transaction) -> Log:
    db.do("BEGIN")
    log = make_log(db, 150, random.Random(5))
    db.do("COMMIT")
    return log


@pytest.mark.parametrize("reach", [1, 7, 10_000])
def test_pages_of_any_filters_hold_what_they_mean_and_nothing_else(
    log: Log, monkeypatch: pytest.MonkeyPatch, reach: int
) -> None:
    monkeypatch.setattr(call_log, "REACH", reach)
    chance = random.Random(reach)
    found_some = 0
    for _ in range(150):
        wanted = Wanted(limit=chance.choice((1, 3, 500)), **{"since": SINCE, **some_filters(log, chance)})
        expected = log.meant(wanted)
        assert log.walk(wanted) == expected, wanted
        found_some += bool(expected)
    assert found_some > 50


def test_an_offset_leaves_out_so_many_of_those_that_are_meant(log: Log) -> None:
    for offset in (1, 5, 70, 149, 150, 151):
        for filters in ({}, {"model": "glm-5.2"}, {"endings": endings_of("error")}, {"session_id": "s-1"}):
            wanted = Wanted(SINCE, limit=10, offset=offset, **filters)
            assert list_calls(log.db, log.tenant_id, wanted).calls == log.meant(wanted)[offset : offset + 10]


def test_a_search_that_finds_nothing_near_goes_on_at_the_next_day_that_has_something(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_log, "REACH", 5)
    wanted = Wanted(SINCE, Place(DAY_0 - 10 * DAY_US, BEFORE_ALL_IDS), model="glm-5.2")
    searched_to = Place(DAY_0 - 10 * DAY_US, "call-0001")
    assert place_to_go_on(log.db, log.tenant_id, wanted, searched_to, SETTLED) == Place(
        DAY_0 // DAY_US * DAY_US - 29 * DAY_US, BEFORE_ALL_IDS
    )
    nowhere = replace(wanted, model="unheard-of")
    assert place_to_go_on(log.db, log.tenant_id, nowhere, searched_to, SETTLED) is None


def test_where_calls_may_still_run_nothing_is_passed_over(log: Log) -> None:
    wanted = Wanted(SINCE, model="unheard-of")
    searched_to = Place(SETTLED, "call-0001")
    assert place_to_go_on(log.db, log.tenant_id, wanted, searched_to, SETTLED) == searched_to


def test_another_organisation_sees_none_of_them(log: Log) -> None:
    other = make_principal(log.db, "Bolt").tenant_id
    for filters in ({}, {"session_id": "s-1"}, {"endings": endings_of("error")}, {"key_id": log.key_ids[0]}):
        assert list_calls(log.db, other, Wanted(SINCE, **filters)).calls == []


PATHS: dict[str, list[dict[str, Any]]] = {
    "calls_newest": [{}, {"category": "llm"}, {"model": "glm-5.2", "key_id": "k"}, {"endings": endings_of("success")}],
    "calls_not_completed": [
        {"endings": endings_of("error")},
        {"endings": endings_of(499), "model": "glm-5.2"},
        {"endings": endings_of(429)},
    ],
    "calls_of_session": [{"session_id": "s-1"}, {"session_id": "s-1", "model": "m"}],
    "calls_of_trace": [{"trace_id": "t-1"}],
}


@pytest.mark.parametrize(("index", "filters"), [(index, each) for index, all_ in PATHS.items() for each in all_])
def test_a_page_is_read_along_an_index_and_not_sorted(log: Log, index: str, filters: dict[str, Any]) -> None:
    wanted = Wanted(SINCE, **filters)
    conditions = call_log._conditions(wanted)
    path = [each for each in conditions if each.path][:1]
    for columns, chosen in (("id, opened_at, model, charge", conditions), ("opened_at, id", path)):
        sql, values = log_query(columns, log.tenant_id, wanted, chosen)
        plan = plan_of(log.db, f"{sql} LIMIT ?", *values, 101)
        assert index in plan, plan
        assert "SORT" not in plan.upper(), plan
        assert "TEMP B-TREE" not in plan, plan


def plan_of(db: Transaction, sql: str, *values: object) -> str:
    """How the engine goes about it; PostgreSQL as it would if the table were long."""
    if db.engine == "sqlite":
        return " ".join(str(row[3]) for row in db.all(f"EXPLAIN QUERY PLAN {sql}", *values))
    db.do("SET enable_seqscan = off")
    db.do("SET enable_bitmapscan = off")
    return " ".join(str(row[0]) for row in db.all(f"EXPLAIN {sql}", *values))


@ON_POSTGRES
def test_a_call_is_found_by_its_id_through_its_key_before_the_planner_knows_the_table(log: Log) -> None:
    for sql in ("SELECT state FROM calls WHERE tenant_id = ? AND id = ?", "UPDATE calls SET hold = 1 WHERE {0}"):
        plan = plan_of(log.db, sql.format("tenant_id = ? AND id = ?"), log.tenant_id, "call-0001")
        assert "calls_pkey" in plan, plan
