"""The schema's steps: taken once, in order, whole or not at all, and never backwards."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from app.storage import migrations
from app.storage.database import open_database
from app.storage.migrations import STEPS, NewerDatabase, migrate, migrate_job, schema_version
from app.storage.sqlite import SqliteEngine, SqliteTransaction, connect
from tests.books import open_books
from tests.storage.making import make_principal, open_call, post

NAMES = [name for name, _ in STEPS]


def test_a_new_database_takes_every_step_and_the_next_time_none() -> None:
    with closing(connect(Path(":memory:"))) as connection:
        db = SqliteTransaction(connection)
        assert migrate_job(db) == NAMES
        assert migrate_job(db) == []
        assert schema_version(db) == len(STEPS)
        assert db.all("SELECT step, name FROM schema_steps ORDER BY step") == list(enumerate(NAMES, start=1))


@pytest.mark.parametrize("done", range(len(STEPS)))
def test_a_database_of_any_older_version_takes_the_rest(done: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect(Path(":memory:"))) as connection:
        db = SqliteTransaction(connection)
        monkeypatch.setattr(migrations, "STEPS", STEPS[:done])
        migrate_job(db)
        monkeypatch.setattr(migrations, "STEPS", STEPS)
        assert migrate_job(db) == NAMES[done:]
        assert tables(connection) == tables_of_a_new_database()


def test_a_step_that_is_added_keeps_what_is_there(db: SqliteTransaction, monkeypatch: pytest.MonkeyPatch) -> None:
    who = make_principal(db)
    open_call(db, who)
    post(db, who, cost=60)
    step = ("a column more", ("ALTER TABLE tenants ADD COLUMN more TEXT NOT NULL DEFAULT ''",))
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, step))
    assert migrate_job(db) == ["a column more"]
    assert db.one("SELECT balance, more FROM tenants") == (940, "")


BAD_STEPS = [
    ("CREATE TABLE half (a BIGINT)", "INSERT INTO nowhere VALUES (1)"),
    ("CREATE TABLE half (a BIGINT NOT NULL)", "INSERT INTO half VALUES (1), (NULL)"),
]


@pytest.mark.parametrize("statements", BAD_STEPS)
async def test_a_step_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: tuple[str, ...]
) -> None:
    path = tmp_path / "gateway.db"
    async with open_books(tmp_path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        before = tables(connection)
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, ("half", statements)))
    with pytest.raises(BaseExceptionGroup):
        async with open_books(tmp_path):
            pass
    with closing(sqlite3.connect(path)) as connection:
        assert tables(connection) == before


def test_a_database_of_a_newer_version_is_left_alone(db: SqliteTransaction) -> None:
    db.run("INSERT INTO schema_steps (step, name) VALUES (?, 'from the future')", len(STEPS) + 1)
    with pytest.raises(
        NewerDatabase, match=rf"schema {len(STEPS) + 1}, this version knows {len(STEPS)}\. Start the newer"
    ):
        migrate_job(db)


async def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    taken: list[list[str]] = []

    async def start() -> None:
        async with open_database(SqliteEngine(tmp_path / "gateway.db")) as db:
            taken.append(await migrate(db))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(start)
    assert sorted(taken) == [[], [], [], [], NAMES]


def tables(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    return set(connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def tables_of_a_new_database() -> set[tuple[str, str, str]]:
    with closing(connect(Path(":memory:"))) as connection:
        migrate_job(SqliteTransaction(connection))
        return tables(connection)
