"""The writer and the readers: what a write promises when neighbours fail, callers leave, and the database is away."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from app.core.errors import Problem
from app.storage.database import Database, Job, Transaction, open_database
from tests.databases import BROKEN_RULE, write_locked
from tests.gate import GatedEngine
from tests.storage.marks import WHO, mark, marks, open_gated, stored


@pytest.fixture
async def engine(database_url: str) -> GatedEngine:
    return await open_gated(database_url)


async def test_writes_that_wait_share_one_commit_and_each_gets_its_own_result(engine: GatedEngine) -> None:
    results: dict[int, str] = {}
    engine.gate = trio.Event()

    async def write(db: Database, number: int) -> None:
        results[number] = await db.write(WHO, mark(f"mark {number}"))

    async with open_database(engine) as db, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(write, db, number)
        await trio.testing.wait_all_tasks_blocked()
        engine.gate.set()
    assert results == {number: f"mark {number}" for number in range(100)}
    assert sum(engine.batches) == 100
    assert len(engine.batches) <= 3


async def test_a_job_that_fails_is_undone_alone_and_its_error_comes_back(engine: GatedEngine) -> None:
    def fail(db: Transaction) -> None:
        mark("half done")(db)
        raise LookupError("mine")

    async def expect(error: type[Exception] | tuple[type[Exception], ...], db: Database, job: Job[None]) -> None:
        with pytest.raises(error):
            await db.write(WHO, job)

    engine.gate = trio.Event()
    async with open_database(engine) as db:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(db.write, WHO, mark("before"))
            nursery.start_soon(expect, LookupError, db, fail)
            nursery.start_soon(expect, BROKEN_RULE, db, lambda t: t.run("INSERT INTO marks VALUES (NULL)"))
            nursery.start_soon(db.write, WHO, mark("after"))
            await trio.testing.wait_all_tasks_blocked()
            engine.gate.set()
        assert await db.read(WHO, marks) == ["after", "before"]


async def test_a_write_is_not_cancelled_halfway(engine: GatedEngine) -> None:
    async with open_database(engine) as db:
        with trio.CancelScope() as scope:
            scope.cancel()
            assert await db.write(WHO, mark("kept")) == "kept"
        assert await db.read(WHO, marks) == ["kept"]


async def test_the_writer_outlives_a_cancelled_tree(engine: GatedEngine, database_url: str) -> None:
    with trio.CancelScope() as tree:
        async with open_database(engine) as db, trio.open_nursery() as nursery:

            async def leave_a_mark(name: str) -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    await db.write(WHO, mark(name))

            for name in ("one", "two", "three"):
                nursery.start_soon(leave_a_mark, name)
            await trio.testing.wait_all_tasks_blocked()
            tree.cancel()
    assert stored(database_url) == ["one", "three", "two"]


async def test_a_write_past_its_deadline_is_refused_and_never_run_if_it_had_not_begun(engine: GatedEngine) -> None:
    async def refused(db: Database, name: str) -> None:
        with pytest.raises(Problem, match="storage_unavailable"):
            await db.write(WHO, mark(name))

    async with open_database(engine, deadline_s=0.1) as db:
        engine.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for name in ("in the batch", "behind the batch"):
                nursery.start_soon(refused, db, name)
                await trio.testing.wait_all_tasks_blocked()
        engine.gate.set()
        assert await db.write(WHO, mark("later")) == "later"
        assert await db.read(WHO, marks) == ["later"]


async def test_a_lock_that_is_held_is_a_503_and_its_job_does_not_run_later(
    engine: GatedEngine, database_url: str
) -> None:
    async with open_database(engine, deadline_s=0.2) as db:
        with write_locked(database_url, WHO), pytest.raises(Problem) as caught:
            await db.write(WHO, mark("locked out"))
        assert (caught.value.code, caught.value.status) == ("storage_unavailable", 503)
        assert caught.value.response_headers()["Retry-After"] == "2"
        assert await db.write(WHO, mark("served")) == "served"
        assert await db.read(WHO, marks) == ["served"]


async def test_a_lock_that_is_held_for_a_moment_is_waited_for(engine: GatedEngine, database_url: str) -> None:
    async with open_database(engine) as db, trio.open_nursery() as nursery:
        with write_locked(database_url, WHO) as release:

            async def release_soon() -> None:
                await trio.sleep(0.1)
                release()

            nursery.start_soon(release_soon)
            assert await db.write(WHO, mark("patient")) == "patient"


async def test_an_engine_that_crashes_leaves_nobody_waiting(engine: GatedEngine) -> None:
    async with open_database(engine) as db:
        engine.crash = RuntimeError("a bug of the engine")
        with pytest.raises(Problem, match="storage_unavailable"):
            await db.write(WHO, mark("lost"))
        engine.crash = None
        assert await db.write(WHO, mark("next")) == "next"


async def test_more_writes_than_the_queue_holds_are_refused_at_once(engine: GatedEngine) -> None:
    refusals: list[str] = []

    async def write(db: Database, number: int) -> None:
        try:
            await db.write(WHO, mark(str(number)))
        except Problem as problem:
            refusals.append(problem.code)

    async with open_database(engine) as db:
        engine.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for number in range(1600):
                nursery.start_soon(write, db, number)
            await trio.testing.wait_all_tasks_blocked()
            engine.gate.set()
        kept = len(await db.read(WHO, marks))
    assert kept >= 1024
    assert refusals == ["storage_unavailable"] * (1600 - kept)
    assert refusals


async def test_a_read_sees_what_is_committed_while_a_write_waits(engine: GatedEngine) -> None:
    async with open_database(engine) as db, trio.open_nursery() as nursery:
        await db.write(WHO, mark("committed"))
        engine.gate = trio.Event()
        nursery.start_soon(db.write, WHO, mark("waiting"))
        await trio.testing.wait_all_tasks_blocked()
        assert await db.read(WHO, marks) == ["committed"]
        engine.gate.set()


async def test_a_read_cannot_write(engine: GatedEngine) -> None:
    async with open_database(engine) as db:
        with pytest.raises(Problem, match="storage_unavailable"):
            await db.read(WHO, mark("sneaked in"))
        assert await db.read(WHO, marks) == []


async def test_a_read_sees_one_moment_even_when_it_asks_twice(engine: GatedEngine) -> None:
    reading, written = trio.Event(), trio.Event()

    def read_twice(db: Transaction) -> tuple[list[str], list[str]]:
        first = marks(db)
        trio.from_thread.run_sync(reading.set)
        trio.from_thread.run(written.wait)
        return first, marks(db)

    async with open_database(engine) as db, trio.open_nursery() as nursery:

        async def write() -> None:
            await reading.wait()
            await db.write(WHO, mark("between"))
            written.set()

        nursery.start_soon(write)
        assert await db.read(WHO, read_twice) == ([], [])
        assert await db.read(WHO, marks) == ["between"]


async def test_many_reads_wait_for_their_turn(engine: GatedEngine) -> None:
    async with open_database(engine) as db:
        await db.write(WHO, mark("here"))
        seen: list[list[str]] = []

        async def read() -> None:
            seen.append(await db.read(WHO, marks))

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(read)
    assert seen == [["here"]] * 30


async def test_a_cancelled_read_gives_its_connection_back(engine: GatedEngine) -> None:
    async with open_database(engine) as db:
        for _ in range(10):
            with trio.CancelScope() as scope:
                scope.cancel()
                await db.read(WHO, marks)
        assert await db.read(WHO, marks) == []


async def test_a_write_that_may_be_left_is_left_at_once_and_not_run_if_it_had_not_begun(engine: GatedEngine) -> None:
    async with open_database(engine) as db:
        engine.gate = trio.Event()
        with trio.move_on_after(0.1) as scope:
            await db.write(WHO, mark("left"), leave=True)
        assert scope.cancelled_caught
        engine.gate.set()
        await db.write(WHO, mark("after"))
        assert await db.read(WHO, marks) == ["after"]
