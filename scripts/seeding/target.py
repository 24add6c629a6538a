"""The database that a seed writes to; a dry run does the same work in it and takes everything back."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from app.commands import Mendable
from app.config import Settings
from app.main import open_storage
from app.storage.database import Database, Job, StorageError, Transaction, open_database
from app.storage.migrations import migrate_job
from app.storage.sqlite import SqliteEngine
from catalog.documents import Fault

T = TypeVar("T")
#: A seed may be long and the gateway may be writing: it waits longer than a request would.
DEADLINE_S: Final = 60.0


class SeedError(Mendable):
    """The seed cannot be written; `faults` holds all that is wrong with it, one line each in the text."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class _Rehearsed(Exception):
    """Carries a dry run's result out of the transaction that it undoes."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True, slots=True)
class Target:
    """An open database; `dry_run` ones keep nothing."""

    db: Database
    dry_run: bool = False

    async def write(self, job: Job[T]) -> T:
        """Run `job` in one transaction. Its own exceptions come back and undo it; Problem when the database is away."""
        if not self.dry_run:
            return await self.db.write(job)

        def rehearse(transaction: Transaction) -> None:
            migrate_job(transaction)
            raise _Rehearsed(job(transaction))

        try:
            await self.db.write(rehearse)
        except _Rehearsed as rehearsed:
            result: T = rehearsed.result
            return result
        raise AssertionError("a rehearsal always ends in its exception")


@asynccontextmanager
async def open_target(settings: Settings, *, dry_run: bool) -> AsyncIterator[Target]:
    """The database of `settings`, migrated. A dry run changes neither it nor its schema, and makes no file."""
    settings = replace(settings, database_deadline_s=max(DEADLINE_S, settings.database_deadline_s))
    try:
        async with _open_rehearsal(settings) if dry_run else open_storage(settings) as db:
            yield Target(db, dry_run)
    except sqlite3.Error as error:
        raise StorageError(f"{settings.database_url}: {error}") from error


@asynccontextmanager
async def _open_rehearsal(settings: Settings) -> AsyncIterator[Database]:
    path = settings.sqlite_path
    with TemporaryDirectory() as empty:
        if not path.exists():
            print(f"{path} does not exist and is not made; this is what a new database would get.")
            path = Path(empty, "new.db")
        async with open_database(SqliteEngine(path), deadline_s=settings.database_deadline_s) as db:
            yield db
