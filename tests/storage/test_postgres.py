"""The PostgreSQL engine: batches that are undone in parts, and turns of a tenant in whatever process."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import Any

import pytest
import trio
import trio.testing
from psycopg import errors

from app.core.errors import Problem
from app.storage.calls import find_call
from app.storage.database import Database, Job, Transaction, open_database
from app.storage.engines import open_engine
from app.storage.postgres_batch import TRIES, lock_key
from app.storage.postgres_line import IDLE_S, connect, with_limits
from tests.databases import ON_POSTGRES, open_view, write_locked
from tests.gate import GatedEngine
from tests.storage.making import make_principal, open_call, post
from tests.storage.marks import WHO, mark, marks, open_gated, stored
from tests.storage.writers import OnPostgres

pytestmark = ON_POSTGRES
#: The deadline: however busy the machine is, no write that can happen comes near it.
LONG_S = 60.0
#: The patience of a write that is to be refused.
SOON_S = 0.5


@pytest.fixture
async def engine(database_url: str) -> GatedEngine:
    """It waits for a lock as if the deadline were short."""
    return await open_gated(f"{database_url}?options=-c%20lock_timeout%3D100", LONG_S)


def leave(name: str | None) -> Job[None]:
    """A mark whose error nobody waits for."""
    return lambda db: db.do("INSERT INTO marks VALUES (?)", name)


async def in_one_batch(db: Database, engine: GatedEngine, jobs: list[tuple[str, Job[Any]]]) -> list[object]:
    """What each of these (scope, job) gave or raised."""
    results: list[object] = [None] * len(jobs)

    async def write(place: int) -> None:
        try:
            results[place] = await db.write(*jobs[place])
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results[place] = error

    engine.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, 0)
        await trio.testing.wait_all_tasks_blocked()
        for place in range(1, len(jobs)):
            nursery.start_soon(write, place)
        await trio.testing.wait_all_tasks_blocked()
        engine.gate.set()
    return results


async def test_a_late_error_comes_back_to_its_job_and_the_neighbours_are_kept(engine: GatedEngine) -> None:
    jobs = [
        *((scope, leave(f"{scope} {name}")) for scope in ("acme", "bolt", "cogs") for name in ("first", "second")),
        ("bolt", leave(None)),
        ("acme", leave("acme first")),
        ("cogs", mark("cogs third")),
    ]
    async with open_database(engine, deadline_s=LONG_S) as db:
        *kept, empty, twice, last = await in_one_batch(db, engine, jobs)
        assert kept == [None] * 6
        assert isinstance(empty, errors.NotNullViolation)
        assert isinstance(twice, errors.UniqueViolation)
        assert last == "cogs third"
        wanted = [f"{scope} {name}" for scope in ("acme", "bolt", "cogs") for name in ("first", "second")]
        assert await db.read(WHO, marks) == sorted([*wanted, "cogs third"])


@pytest.mark.parametrize("error", [Problem("insufficient_credits", ""), LookupError("mine")])
async def test_an_error_after_a_write_undoes_that_job_alone(engine: GatedEngine, error: Exception) -> None:
    def write_and_raise(db: Transaction) -> None:
        leave("half done")(db)
        raise error

    async with open_database(engine, deadline_s=LONG_S) as db:
        jobs: list[tuple[str, Job[Any]]] = [(WHO, leave("before")), (WHO, write_and_raise), ("bolt", leave("after"))]
        assert await in_one_batch(db, engine, jobs) == [None, error, None]
        assert await db.read(WHO, marks) == ["after", "before"]


def fail_with(state: str, times: int, name: str) -> Job[int]:
    """A job that the server refuses with this SQLSTATE so often."""
    tries: list[int] = []

    def job(db: Transaction) -> int:
        tries.append(1)
        leave(f"{name}: try {len(tries)}")(db)
        if len(tries) <= times:
            db.do(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$")
        return len(tries)

    return job


@pytest.mark.parametrize("state", ["40001", "40P01"], ids=["serialisation", "deadlock"])
async def test_a_lost_race_is_run_again(engine: GatedEngine, state: str) -> None:
    async with open_database(engine, deadline_s=LONG_S) as db:
        assert await db.write(WHO, fail_with(state, TRIES - 1, "won")) == TRIES
        with pytest.raises(Problem, match="storage_unavailable"):
            await db.write(WHO, fail_with(state, TRIES, "lost"))
        assert await db.read(WHO, marks) == [f"won: try {TRIES}"]


async def test_jobs_of_a_tenant_take_turns_in_whatever_process(database_url: str) -> None:
    with open_view(database_url) as view:
        view.do("CREATE TABLE counter (value BIGINT NOT NULL)")
        view.do("INSERT INTO counter VALUES (0)")

    def count(db: Transaction) -> None:
        row = db.one("SELECT value FROM counter")
        assert row is not None
        db.do("UPDATE counter SET value = ?", row[0] + 1)

    one, two = await open_engine(database_url), await open_engine(database_url)
    async with open_database(one) as here, open_database(two) as there:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(here.write, WHO, count)
                nursery.start_soon(there.write, WHO, count)
        assert await here.read(WHO, lambda db: db.one("SELECT value FROM counter")) == (200,)


async def test_a_tenant_does_not_wait_for_the_turns_of_another(engine: GatedEngine, database_url: str) -> None:
    async with open_database(engine, deadline_s=LONG_S) as db:
        with write_locked(database_url, "acme"):
            await db.write("bolt", mark("at once"))
            with pytest.raises(Problem, match="storage_unavailable"):
                await db.write("acme", mark("locked out"), patience_s=SOON_S)
        assert await db.write("acme", mark("in turn")) == "in turn"
        assert await db.read(WHO, marks) == ["at once", "in turn"]


async def test_in_one_batch_a_tenant_whose_turn_does_not_come_keeps_the_others_only_for_a_moment(
    engine: GatedEngine, database_url: str
) -> None:
    """They are served while it waits, and so is who comes later; the moment is a part of its deadline."""
    ended: list[str] = []

    async def write(db: Database, scope: str) -> None:
        with suppress(Problem):
            await db.write(scope, mark(scope))
        ended.append(scope)

    async with open_database(engine, deadline_s=LONG_S) as db:
        engine.gate = trio.Event()
        with write_locked(database_url, "bolt") as release:
            async with trio.open_nursery() as locked_out:
                async with trio.open_nursery() as others:
                    for scope in ("acme", "bolt", "cogs"):
                        (locked_out if scope == "bolt" else others).start_soon(write, db, scope)
                        await trio.testing.wait_all_tasks_blocked()
                    engine.gate.set()
                await write(db, "dyes")
                assert sorted(ended) == stored(database_url) == ["acme", "cogs", "dyes"]
                release()
        assert ended[-1] == "bolt"
        assert stored(database_url) == ["acme", "bolt", "cogs", "dyes"]


async def test_a_tenant_whose_turn_comes_late_is_served(engine: GatedEngine, database_url: str) -> None:
    async with open_database(engine, deadline_s=LONG_S) as db, trio.open_nursery() as locked_out:
        with write_locked(database_url, "bolt") as release:
            async with trio.open_nursery() as others:
                for scope in ("acme", "bolt", "cogs"):
                    (locked_out if scope == "bolt" else others).start_soon(db.write, scope, mark(scope))
            assert stored(database_url) == ["acme", "cogs"]
            release()
    assert stored(database_url) == ["acme", "bolt", "cogs"]


async def test_rows_that_an_outsider_keeps_locked_hold_up_their_tenant_alone(
    engine: GatedEngine, database_url: str
) -> None:
    ended: list[tuple[str, int]] = []

    async def write(name: str) -> None:
        touched = await db.write(name, lambda t: t.run("UPDATE marks SET name = name WHERE name = ?", name))
        ended.append((name, touched))

    async with open_database(engine, deadline_s=LONG_S) as db:
        for name in ("acme", "bolt", "cogs"):
            await db.write(name, mark(name))
        engine.gate = trio.Event()
        with open_view(database_url) as outsider:
            outsider.do("BEGIN")
            outsider.do("UPDATE marks SET name = name WHERE name = 'bolt'")
            async with trio.open_nursery() as locked_out:
                async with trio.open_nursery() as others:
                    for name in ("acme", "bolt", "cogs"):
                        (locked_out if name == "bolt" else others).start_soon(write, name)
                        await trio.testing.wait_all_tasks_blocked()
                    engine.gate.set()
                assert sorted(ended) == [("acme", 1), ("cogs", 1)]
                outsider.do("ROLLBACK")
        assert ended[-1] == ("bolt", 1)


def test_a_session_that_stops_in_the_middle_of_a_job_is_ended_by_the_server(database_url: str) -> None:
    with closing(connect(with_limits(database_url, 5.0))) as session:
        assert session.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (f"{IDLE_S}s",)
        assert session.execute("SHOW lock_timeout").fetchone() == ("1s",)
    sooner = f"{database_url}?options=-c%20idle_in_transaction_session_timeout%3D200"
    with closing(connect(with_limits(sooner, 5.0))) as stopped:
        stopped.execute("BEGIN")
        stopped.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(WHO),))
        began = time.monotonic()
        with write_locked(database_url, WHO):
            assert 0.1 < time.monotonic() - began < 3


def test_a_schema_change_by_another_process_leaves_a_running_one_working(database_url: str) -> None:
    with closing(OnPostgres(database_url)) as writer:
        who = make_principal(writer.view)
        open_call(writer.view, who)
        before = find_call(writer.view, who.tenant_id, "call")
        for change in ("ALTER TABLE calls ADD COLUMN more BIGINT", "CREATE INDEX more ON calls (more)"):
            assert writer.run(who.tenant_id, lambda db: find_call(db, who.tenant_id, "call")) == before
            writer.view.do(change)
        assert writer.run(who.tenant_id, lambda db: find_call(db, who.tenant_id, "call")) == before
        assert writer.run(who.tenant_id, lambda db: post(db, who)).state == "posted"


async def test_a_character_that_postgresql_cannot_keep_is_replaced_and_finds_nothing(engine: GatedEngine) -> None:
    async with open_database(engine, deadline_s=LONG_S) as db:
        await db.write(WHO, mark("a\0b%"))
        assert await db.read(WHO, marks) == ["a\ufffdb%"]
        found = await db.read(WHO, lambda t: t.all("SELECT name FROM marks WHERE name IN (?, ?)", "a\0", "b%"))
        assert found == []
