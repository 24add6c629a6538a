"""Turns at one SQLite file: who waits is seen, and who comes back at once steps aside."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
import trio

from app.core.errors import Problem
from app.storage import sqlite
from app.storage.database import EVERY_TENANT, open_database
from app.storage.sqlite import SqliteEngine, connect
from app.storage.turns import Turns
from tests.storage.hammer import count

ASIDE_S = 0.2
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def other_turns(database: Path) -> Iterator[Turns]:
    turns = Turns(database)
    try:
        yield turns
    finally:
        turns.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.db"
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE counter (value BIGINT NOT NULL)")
        connection.execute("INSERT INTO counter VALUES (0)")
    return path


def test_who_waits_is_seen_by_the_others_for_as_long_as_the_wait_takes(tmp_path: Path) -> None:
    with other_turns(tmp_path / "a.db") as one, other_turns(tmp_path / "a.db") as two:
        assert not one.others_wait()
        with two.waiting():
            assert one.others_wait()
            with one.waiting():
                assert two.others_wait()
        assert not one.others_wait()
        assert not two.others_wait()


async def test_one_that_comes_back_at_once_steps_aside_when_others_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "STEP_ASIDE_S", ASIDE_S)
    async with open_database(SqliteEngine(path)) as db:
        with other_turns(path) as other:
            took = []
            for others_wait in (False, False, True):
                began = trio.current_time()
                if others_wait:
                    with other.waiting():
                        await db.write(EVERY_TENANT, count)
                else:
                    await db.write(EVERY_TENANT, count)
                took.append(trio.current_time() - began)
    assert max(took[:2]) < ASIDE_S <= took[2]


def test_of_processes_that_write_without_a_pause_each_has_its_share(path: Path) -> None:
    command = [sys.executable, "-m", "tests.storage.hammer", str(path), "1.5"]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT))
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        told = [each.communicate("go\n", timeout=20)[0] for each in processes]
    writes, worst_s = zip(*map(json.loads, told), strict=True)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM counter").fetchone() == (sum(writes),)
    assert min(writes) > max(writes) / 3
    assert max(worst_s) < 0.25


async def test_a_lock_that_another_process_keeps_is_waited_for_and_then_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.1)
    async with open_database(SqliteEngine(path)) as db:
        with closing(connect(path)) as other, other_turns(path) as turns:
            other.execute("BEGIN IMMEDIATE")
            began = trio.current_time()
            with pytest.raises(Problem) as refused:
                await db.write(EVERY_TENANT, count)
            assert 0.1 <= trio.current_time() - began < 1
            assert refused.value.retry_after_s
            assert not turns.others_wait()
            other.execute("ROLLBACK")
            assert await db.write(EVERY_TENANT, count) == 1


async def test_a_log_that_has_grown_long_is_emptied(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_EVERY", 4)
    monkeypatch.setattr(sqlite, "LONG_LOG_PAGES", 4)
    engine = SqliteEngine(path, "NORMAL")
    async with open_database(engine) as db:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM counter").fetchall()
            for _ in range(8):
                await db.write(EVERY_TENANT, count)
            log = path.with_name("gateway.db-wal")
            assert log.stat().st_size > 0, "a reader still needs it"
        for _ in range(16):
            await db.write(EVERY_TENANT, count)
        assert log.stat().st_size == 0
