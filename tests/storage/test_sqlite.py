"""The SQLite engine: how a file is opened, and what happens when it cannot be."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Timer
from typing import Literal

import pytest
import trio
import trio.testing

from app.core.errors import Problem
from app.storage.database import EVERY_TENANT, Database, StorageError, open_database
from app.storage.sqlite import CHECKPOINT_EVERY, SqliteEngine, connect
from tests.databases import sqlite_url
from tests.storage.marks import WHO, mark, marks, open_gated


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("NORMAL", 1)])
def test_a_file_is_opened_as_the_settings_say(
    tmp_path: Path, synchronous: Literal["FULL", "NORMAL"], number: int
) -> None:
    with closing(connect(tmp_path / "a.db", synchronous)) as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": number,
        "foreign_keys": 1,
        "busy_timeout": 0,
        "query_only": 0,
    }


@pytest.mark.parametrize("trouble", ["garbage", "a folder", "no folder"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "gateway.db"
    match trouble:
        case "garbage":
            path.write_bytes(b"this is no database " * 100)
        case "a folder":
            path.mkdir()
        case _:
            path = tmp_path / "missing" / "gateway.db"
    with pytest.raises(StorageError, match=r"gateway\.db: "):
        SqliteEngine(path)


async def test_a_file_that_another_process_is_just_closing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    connect(path).close()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        letting_go = Timer(0.1, other.close)
        letting_go.start()
        SqliteEngine(path).close()
        letting_go.join()


async def test_two_engines_on_one_file_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE counter (value BIGINT NOT NULL)")
        connection.execute("INSERT INTO counter VALUES (0)")

    async def count(db: Database) -> None:
        for _ in range(10):
            await db.write(EVERY_TENANT, lambda t: t.run("UPDATE counter SET value = value + 1"))

    async with open_database(SqliteEngine(path)) as one, open_database(SqliteEngine(path)) as two:
        async with trio.open_nursery() as nursery:
            for db in (one, two) * 5:
                nursery.start_soon(count, db)
        assert await one.read(EVERY_TENANT, lambda t: t.one("SELECT value FROM counter")) == (100,)


async def test_a_statement_that_the_engine_cannot_run_is_a_503_and_the_next_one_works(tmp_path: Path) -> None:
    async with open_database(SqliteEngine(tmp_path / "gateway.db")) as db:
        with pytest.raises(Problem, match="storage_unavailable"):
            await db.write(EVERY_TENANT, lambda t: t.run("INSERT INTO nowhere VALUES (1)"))
        with pytest.raises(Problem, match="storage_unavailable"):
            await db.read(EVERY_TENANT, lambda t: t.one("SELECT * FROM nowhere"))
        assert await db.read(EVERY_TENANT, lambda t: t.one("SELECT 1")) == (1,)
        await db.write(EVERY_TENANT, lambda t: t.run("CREATE TABLE somewhere (a BIGINT)"))
        assert await db.write(EVERY_TENANT, lambda t: t.run("INSERT INTO somewhere VALUES (1)")) == 1


async def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with open_database(SqliteEngine(path)) as db:
        await db.write(EVERY_TENANT, lambda t: t.run("CREATE TABLE kept (a BIGINT)"))
    async with open_database(SqliteEngine(path)) as db:
        assert await db.read(EVERY_TENANT, lambda t: t.all("SELECT * FROM kept")) == []


async def test_a_checkpoint_that_fails_undoes_no_write(tmp_path: Path) -> None:
    def deny(action: int, what: str | None, *_: str | None) -> int:
        checkpoint = action == sqlite3.SQLITE_PRAGMA and what == "wal_checkpoint"
        return sqlite3.SQLITE_DENY if checkpoint else sqlite3.SQLITE_OK

    engine = SqliteEngine(tmp_path / "a.db", "NORMAL")
    engine._writer.set_authorizer(deny)
    async with open_database(engine) as db:
        await db.write(EVERY_TENANT, lambda t: t.run("CREATE TABLE seen (number INTEGER)"))
        for _ in range(CHECKPOINT_EVERY):
            await db.write(EVERY_TENANT, lambda t: t.run("INSERT INTO seen VALUES (1)"))
        assert await db.read(EVERY_TENANT, lambda t: t.one("SELECT COUNT(*) FROM seen")) == (CHECKPOINT_EVERY,)


async def test_a_full_disk_is_a_503_that_keeps_nothing_and_ends_with_the_shortage(tmp_path: Path) -> None:
    engine = await open_gated(sqlite_url(tmp_path))

    async def fill(name: str) -> None:
        with pytest.raises(Problem, match="storage_unavailable"):
            await db.write(WHO, mark(name * 100_000))

    async with open_database(engine) as db:
        await db.write(WHO, lambda t: t.one("PRAGMA max_page_count = 5"))
        engine.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for name in "ab":
                nursery.start_soon(fill, name)
            await trio.testing.wait_all_tasks_blocked()
            engine.gate.set()
        assert await db.read(WHO, marks) == []
        await db.write(WHO, lambda t: t.one("PRAGMA max_page_count = 100000"))
        assert await db.write(WHO, mark("a" * 100_000))
        assert len(await db.read(WHO, marks)) == 1
