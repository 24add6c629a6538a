"""PostgreSQL restarts, stops, crashes or freezes: what is refused is refused soon, and all is well again afterwards."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import walk_stack
from typing import Final, Literal

import pytest
import trio

from app.core.errors import Problem
from app.storage import postgres_line
from app.storage.database import Database, open_database
from app.storage.postgres import READERS
from scripts.clustering.postgres import Postgres, open_postgres
from tests.databases import open_view
from tests.storage.marks import WHO, mark, marks, open_gated, stored

DEADLINE_S: Final = 0.5
#: On top of the deadline: the watch looks four times a second, and the machine is busy.
LATE_S: Final = 0.5
OTHERS: Final = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One that may be harmed."""
    with TemporaryDirectory(prefix="gateway-") as folder, open_postgres(Path(folder) / "data", durable=False) as opened:
        yield opened


@pytest.fixture
def url(server: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test_{abs(hash(request.node.name))}"
    yield server.create(name)
    server.drop(name)


@asynccontextmanager
async def open_marks(url: str) -> AsyncIterator[Database]:
    """A database whose every connection has been used."""
    async with open_database(await open_gated(url, DEADLINE_S), deadline_s=DEADLINE_S) as db:
        await db.write(WHO, mark("before"))
        async with trio.open_nursery() as nursery:
            for _ in range(READERS):
                nursery.start_soon(db.read, WHO, marks)
        yield db


async def refused(db: Database) -> None:
    """Reads and writes are, each within its deadline."""
    for ask in (db.write(WHO, mark("refused")), db.read(WHO, marks)):
        began = trio.current_time()
        with pytest.raises(Problem) as caught:
            await ask
        assert (caught.value.status, caught.value.code) == (503, "storage_unavailable")
        assert trio.current_time() - began < DEADLINE_S + LATE_S


async def works(db: Database, *names: str) -> None:
    """At the first try, with every connection."""
    for name in names:
        assert await db.write(WHO, mark(name)) == name
    seen: list[list[str]] = []

    async def look() -> None:
        seen.append(await db.read(WHO, marks))

    async with trio.open_nursery() as nursery:
        for _ in range(READERS):
            nursery.start_soon(look)
    assert seen == [sorted(["before", *names])] * READERS


@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_a_restart_between_two_writes_is_not_noticed(
    server: Postgres, url: str, how: Literal["fast", "immediate"]
) -> None:
    async with open_marks(url) as db:
        server.stop(how)
        server.start()
        await works(db, "after", "later")


async def test_a_server_that_is_stopped_refuses_at_once_and_works_when_it_is_back(server: Postgres, url: str) -> None:
    async with open_marks(url) as db:
        server.stop()
        try:
            for _ in range(3):
                await refused(db)
        finally:
            server.start()
        await trio.sleep(postgres_line.PAUSE_S)
        await works(db, "after")


async def test_connections_that_the_server_has_closed_are_replaced(url: str) -> None:
    async with open_marks(url) as db:
        with open_view(url) as view:
            view.do(f"SELECT pg_terminate_backend(pid) {OTHERS}")
        await works(db, "after")


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    pids = server.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_server_that_freezes_for_a_moment_refuses_in_time_and_then_goes_on(server: Postgres, url: str) -> None:
    async with open_marks(url) as db:
        with frozen(server):
            began = trio.current_time()
            with pytest.raises(Problem, match="storage_unavailable"):
                await db.write(WHO, mark("refused"))
            assert trio.current_time() - began < DEADLINE_S + LATE_S
        await works(db, "after")


async def test_a_server_that_stays_frozen_leaves_nothing_behind(
    server: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections are given up: new ones take over, and no thread waits on the old."""
    monkeypatch.setattr(postgres_line, "CONNECT_S", 0.5)
    monkeypatch.setattr(postgres_line, "GRACE_S", 0.2)
    async with open_marks(url) as db:
        with frozen(server):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(be_refused, db)
            with trio.fail_after(10):
                while working_threads():  # noqa: ASYNC110 - threads tell nobody
                    await trio.sleep(0.02)
        await works(db, "after")
        with open_view(url) as view:
            assert view.all(f"SELECT pid {OTHERS} AND state <> 'idle'") == []
            assert len(view.all(f"SELECT pid {OTHERS}")) == 1 + READERS
            assert view.all("SELECT pid FROM pg_locks WHERE locktype = 'advisory'") == []
    assert stored(url) == ["after", "before"]


async def be_refused(db: Database) -> None:
    with pytest.raises(Problem, match="storage_unavailable"):
        await db.write(WHO, mark("refused"))
    with pytest.raises(Problem, match="storage_unavailable"):
        await db.read(WHO, marks)


def working_threads() -> int:
    """How many threads are in the middle of something with the database."""
    others = [frame for ident, frame in sys._current_frames().items() if ident != threading.get_ident()]
    return sum(any("/storage/postgres" in frame.f_code.co_filename for frame, _ in walk_stack(top)) for top in others)
