"""Calls while a business is moved: those that run come to their end, and none begins."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

import pytest
import trio

from app.core.errors import Problem
from app.storage import moving_source
from app.storage.database import Database, open_database
from app.storage.moving_source import Source
from app.storage.moving_tables import MoveError
from app.storage.sqlite import SqliteEngine
from tests.books import faults
from tests.databases import elsewhere, open_view
from tests.storage.business import Business, all_rows, one
from tests.storage.making import open_call, post
from tests.storage.moves import go, once


def test_a_call_that_does_not_end_is_named_and_calls_begin_again(business: Business, target: str) -> None:
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "endless"))
    with pytest.raises(MoveError, match=r"(?s)1 calls are still open after 0.2 s:\n  endless of \S+.*--force"):
        go(business, target)
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "next"))


def test_with_force_an_open_call_is_copied_held(business: Business, target: str) -> None:
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "endless"))
    report = go(business, target, force=True)
    assert report.held == 1
    assert all_rows(target) == all_rows(business.url)
    assert one(target, "SELECT state FROM calls WHERE id = 'endless'") == "held"


def test_calls_that_run_come_to_their_end_and_none_begins_meanwhile(business: Business, target: str) -> None:
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "open"))
    refused: list[str] = []

    def come_and_go() -> None:
        with pytest.raises(sqlite3.IntegrityError, match="no call may begin") as refusal:
            elsewhere(business.url, lambda db: open_call(db, business.principals[1], "too late"))
        refused.append(str(refusal.value))
        elsewhere(business.url, lambda db: post(db, business.principals[0], "open"))

    report = go(business, target, once("calls that are still open", come_and_go), wait_s=10)
    assert refused
    assert report.held == 0
    assert all_rows(target) == all_rows(business.url)
    assert one(target, "SELECT charge FROM calls WHERE id = 'open'") == 60


def test_a_call_that_begins_just_before_the_lock_is_waited_for(
    business: Business, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal = business.principals[0]
    take_lock = Source._lock
    taken = 0

    def slip_in(source: Source) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:  # the first is for the stop
            elsewhere(business.url, lambda db: db.do("DROP TRIGGER moving_stop"))
            elsewhere(business.url, lambda db: open_call(db, principal, "slipped in"))
        take_lock(source)

    monkeypatch.setattr(Source, "_lock", slip_in)
    end = once(
        "calls that are still open", lambda: elsewhere(business.url, lambda db: post(db, principal, "slipped in"))
    )
    assert go(business, target, end, wait_s=10).held == 0
    assert one(target, "SELECT charge FROM calls WHERE id = 'slipped in'") == 60


async def test_in_a_batch_of_calls_that_may_not_begin_an_ending_is_kept(business: Business) -> None:
    ours, theirs = business.principals[:2]
    elsewhere(business.url, lambda db: open_call(db, ours, "open"))
    refusals: list[Problem] = []

    async def ask(db: Database, number: int) -> None:
        with pytest.raises(Problem) as refusal:
            await db.write(theirs.tenant_id, lambda t: open_call(t, theirs, f"call{number}"), durable=False)
        refusals.append(refusal.value)

    with Source(business.path, query_only=False) as source:
        source.stop()
    engine = SqliteEngine(business.path)
    async with open_database(engine) as db, trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(ask, db, number)
            if number == 20:
                nursery.start_soon(db.write, ours.tenant_id, lambda t: post(t, ours, "open"))
    assert {problem.code for problem in refusals} == {"storage_unavailable"}
    assert all(problem.retry_after_s for problem in refusals)
    assert one(business.url, "SELECT charge FROM calls WHERE id = 'open'") == 60
    with open_view(business.url) as view:
        assert faults(view) == {}


def test_a_stop_that_nobody_renews_lifts_itself(business: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_source, "STOP_S", 1)
    with Source(business.path, query_only=False) as source:
        source.stop()

    def lifted() -> bool:
        with suppress(sqlite3.IntegrityError):
            elsewhere(business.url, lambda db: open_call(db, business.principals[0], "after"))
            return True
        return False

    refusals = 0
    while refusals < 10_000 and not lifted():
        refusals += 1
    assert 0 < refusals < 10_000
