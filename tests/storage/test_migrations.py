"""The schema's steps: taken once, in order, whole or not at all, and never backwards."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from app.core.errors import Problem
from app.storage import migrations
from app.storage.database import Transaction, open_database
from app.storage.engines import open_engine
from app.storage.migrations import STEPS, NewerDatabase, migrate, migrate_job, schema_version
from tests.books import open_books
from tests.databases import ON_POSTGRES, Databases, open_view
from tests.storage.making import make_principal, open_call, post

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name, _ in STEPS]


def test_a_new_database_takes_every_step_and_the_next_time_none(empty: Transaction) -> None:
    assert migrate_job(empty) == NAMES
    assert migrate_job(empty) == []
    assert schema_version(empty) == len(STEPS)
    assert empty.all("SELECT step, name FROM schema_steps ORDER BY step") == list(enumerate(NAMES, start=1))


@pytest.mark.parametrize("done", range(len(STEPS)))
def test_a_database_of_any_older_version_takes_the_rest(
    db: Transaction, empty: Transaction, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "STEPS", STEPS[:done])
    migrate_job(empty)
    monkeypatch.setattr(migrations, "STEPS", STEPS)
    assert migrate_job(empty) == NAMES[done:]
    assert schema(empty) == schema(db)


def test_a_step_that_is_added_keeps_what_is_there(db: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
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
    database_url: str, monkeypatch: pytest.MonkeyPatch, statements: tuple[str, ...]
) -> None:
    async with open_books(database_url):
        pass
    with open_view(database_url) as view:
        before = schema(view)
        monkeypatch.setattr(migrations, "STEPS", (*STEPS, ("half", statements)))
        with pytest.raises(BaseExceptionGroup):
            async with open_books(database_url):
                pass
        assert schema(view) == before


async def test_the_steps_before_one_that_fails_are_undone_with_it(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, ("half", BAD_STEPS[0])))
    async with open_database(await open_engine(empty_url)) as database:
        with pytest.raises(Exception, match=r"nowhere|storage_unavailable"):
            await migrate(database)
        monkeypatch.setattr(migrations, "STEPS", STEPS)
        assert await migrate(database) == NAMES


@ON_POSTGRES
async def test_a_step_that_is_interrupted_is_not_kept_in_part(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ("half", ("CREATE TABLE half (a BIGINT)", "SELECT pg_sleep(60)"))
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, step))
    with open_view(database_url) as view:
        before = schema(view)
        async with open_database(await open_engine(database_url)) as database, trio.open_nursery() as nursery:

            async def interrupt() -> None:
                while True:
                    view.do(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
                    )
                    await trio.sleep(0.02)

            nursery.start_soon(interrupt)
            with pytest.raises(Problem, match="storage_unavailable"):
                await migrate(database)
            nursery.cancel_scope.cancel()
        assert schema(view) == before


def test_a_database_of_a_newer_version_is_left_alone(db: Transaction) -> None:
    db.run("INSERT INTO schema_steps (step, name) VALUES (?, 'from the future')", len(STEPS) + 1)
    with pytest.raises(
        NewerDatabase, match=rf"schema {len(STEPS) + 1}, this version knows {len(STEPS)}\. Start the newer"
    ):
        migrate_job(db)


async def test_processes_that_start_at_once_migrate_once(empty_url: str) -> None:
    taken: list[list[str]] = []

    async def start() -> None:
        async with open_database(await open_engine(empty_url)) as database:
            taken.append(await migrate(database))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(start)
    assert sorted(taken) == [[], [], [], [], NAMES]


async def test_real_processes_that_start_at_once_migrate_once(databases: Databases) -> None:
    with databases.open_empty() as url:
        command = [sys.executable, "-m", "app", "migrate", "--database", url]
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(partial(trio.run_process, command, cwd=ROOT, capture_stdout=True))
        with open_view(url) as view:
            assert view.all("SELECT step, name FROM schema_steps ORDER BY step") == list(enumerate(NAMES, start=1))


def schema(view: Transaction) -> list[tuple[str, ...]]:
    """Everything that the steps may have made."""
    if view.engine == "sqlite":
        return sorted(view.all("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    queries = (
        "SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public'",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
        "SELECT tablename, policyname, qual, with_check FROM pg_policies",
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    )
    return sorted(tuple(map(str, row)) for query in queries for row in view.all(query))
