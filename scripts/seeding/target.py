"""The database that a seed writes to; a dry run does the same work in it and takes everything back."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import psycopg

from app.commands import Mendable
from app.config import Settings
from app.main import open_storage
from app.storage.database import EVERY_TENANT, Database, Job, StorageError, Transaction, open_database
from app.storage.engines import SQLITE, open_engine, shown, sqlite_path
from app.storage.migrations import migrate_job
from catalog.documents import Fault

T = TypeVar("T")
#: A seed may be long and the gateway may be writing: it waits longer than a request would.
PATIENCE_S: Final = 60.0


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
            return await self.db.write(EVERY_TENANT, job, patience_s=PATIENCE_S)

        def rehearse(transaction: Transaction) -> None:
            migrate_job(transaction)
            raise _Rehearsed(job(transaction))

        try:
            await self.db.write(EVERY_TENANT, rehearse, patience_s=PATIENCE_S)
        except _Rehearsed as rehearsed:
            result: T = rehearsed.result
            return result
        raise AssertionError("a rehearsal always ends in its exception")


@asynccontextmanager
async def open_target(settings: Settings, *, dry_run: bool) -> AsyncIterator[Target]:
    """The database of `settings`, migrated. A dry run changes neither it nor its schema, and makes no file."""
    try:
        async with _open_rehearsal(settings) if dry_run else open_storage(settings) as db:
            yield Target(db, dry_run)
    except (sqlite3.Error, psycopg.Error) as error:
        raise StorageError(f"{shown(settings.database_url)}: {error}") from error


@asynccontextmanager
async def _open_rehearsal(settings: Settings) -> AsyncIterator[Database]:
    url = settings.database_url
    with TemporaryDirectory() as empty:
        path = sqlite_path(url)
        if path is not None and not path.exists():
            print(f"{path} does not exist and is not made; this is what a new database would get.")
            url = f"{SQLITE}{Path(empty, 'new.db')}"
        engine = await open_engine(url, deadline_s=settings.database_deadline_s)
        async with open_database(engine, deadline_s=settings.database_deadline_s) as db:
            yield db
