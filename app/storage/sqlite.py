"""SQLite as an engine: statements run on the loop (microseconds), the disk is waited for in a thread.

Python's sqlite3 lets go of the interpreter lock at every statement; a worker thread would have to win it back from a
busy loop each time. So the batch's statements run here, and only a COMMIT that waits for the disk runs in a thread.
A batch without durable jobs does not wait for it: what it wrote is in the system's hands, before whatever comes later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from math import inf
from pathlib import Path
from random import uniform
from typing import Any, Final, Literal, TypeVar

import sqlite_utils
import structlog
import trio

from app.core.errors import Problem
from app.storage.database import Job, Row, StorageError, Ticket
from app.storage.turns import Turns

T = TypeVar("T")
#: How long to wait for the write lock while other processes hold it, and the bounds of one step of it.
BUSY_S: Final = 4.0
BUSY_STEP_S: Final = (0.0005, 0.0015)
#: A process that committed this recently lets those who wait go first, for as long as a step of theirs may take.
STEP_ASIDE_S: Final = 0.0015
READERS: Final = 4
#: A reader meets a lock only while another process opens, closes or mends the log; it waits in a thread.
READ_BUSY_MS: Final = 1000
#: Pages kept in memory, in KiB, by the writer and by each reader: memory that a long life fills to the last page.
#: The system keeps the file's pages too, and a call costs the same with 64 MiB.
CACHE_KIB: Final = (8192, 2048)
#: While another process opens or closes the file even a setting may have to wait.
OPEN_BUSY_MS: Final = 5000
PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {OPEN_BUSY_MS}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA wal_autocheckpoint = 0",
)
#: Durable commits between two checkpoints, which move the log into the file: a commit on the loop must never do it.
CHECKPOINT_EVERY: Final = 256
#: With several processes there is always a commit that came after the checkpoint began, so that the log never starts
#: anew. When it has grown by this many pages (16 MiB), everybody else is made to wait once, for so long at most.
LONG_LOG_PAGES: Final = 4096
EMPTY_LOG_MS: Final = 100
Synchronous = Literal["FULL", "NORMAL"]
log = structlog.get_logger(__name__)


class SqliteTransaction:
    """A `Transaction` over one connection; statements are cached by their text."""

    __slots__ = ("_execute",)
    engine: Final = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def run(self, sql: str, *values: Any) -> int:
        return self._execute(sql, values).rowcount

    def do(self, sql: str, *values: Any) -> None:
        self._execute(sql, values)

    def one(self, sql: str, *values: Any) -> Row | None:
        row: Row | None = self._execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[Row]:
        return self._execute(sql, values).fetchall()


def connect(path: Path, synchronous: Synchronous = "FULL", *, query_only: bool = False) -> sqlite3.Connection:
    """Open in WAL mode, ready for explicit transactions. Raises sqlite3.OperationalError as SQLite does."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        database = sqlite_utils.Database(connection)
        for pragma in PRAGMAS:
            database.execute(pragma)
        database.execute(f"PRAGMA cache_size = -{CACHE_KIB[query_only]}")
        database.enable_wal()
        database.execute(f"PRAGMA synchronous = {synchronous}")
        if query_only:
            database.execute("PRAGMA query_only = ON")
        database.execute(f"PRAGMA busy_timeout = {READ_BUSY_MS if query_only else 0}")
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteEngine:
    """One file, one writing connection, a few reading ones. Raises StorageError when it cannot be opened."""

    always_durable = False

    def __init__(self, path: Path, synchronous: Synchronous = "FULL") -> None:
        try:
            self._writer = connect(path, synchronous)
            self._readers = [connect(path, query_only=True) for _ in range(READERS)]
            self._turns = Turns(path)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{path}: {error}") from error
        self._transaction = SqliteTransaction(self._writer)
        self._synchronous = synchronous
        self._in_force = synchronous
        self._durable_commits = 0
        self._committed_at = -inf
        self._long_log_pages = LONG_LOG_PAGES
        self._free = trio.CapacityLimiter(READERS)

    async def commit(self, tickets: list[Ticket]) -> None:
        if not tickets:
            return
        try:
            durable = any(ticket.durable for ticket in tickets)
            self._set_synchronous(self._synchronous if durable else "NORMAL")
            await self._begin()
            if not self._run_all(tickets):
                self._writer.rollback()
                await self._begin()
                self._run_each(tickets)
            if durable:
                await trio.to_thread.run_sync(self._commit_durably)
            else:
                self._writer.commit()
            self._committed_at = trio.current_time()
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(str(error)) from error
        except BaseException:
            self._roll_back()
            raise

    async def read(self, _scope: str, job: Job[T]) -> T:
        async with self._free:
            connection = self._readers.pop()
            try:
                return await trio.to_thread.run_sync(_read, connection, job)
            except sqlite3.Error as error:
                raise StorageError(str(error)) from error
            finally:
                self._readers.append(connection)

    def close(self) -> None:
        for connection in (*self._readers, self._writer):
            connection.close()
        self._turns.close()

    def _set_synchronous(self, wanted: Synchronous) -> None:
        if wanted != self._in_force:
            self._writer.execute(f"PRAGMA synchronous = {wanted}")
            self._in_force = wanted

    def _commit_durably(self) -> None:
        self._writer.commit()
        self._durable_commits += 1
        if self._durable_commits % CHECKPOINT_EVERY == 0:
            try:
                self._checkpoint()
            except sqlite3.Error as error:  # the batch is kept: nobody may be told otherwise
                log.error("storage.checkpoint_failed", error=str(error))

    def _checkpoint(self) -> None:
        _, pages, _ = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages < LONG_LOG_PAGES:
            self._long_log_pages = LONG_LOG_PAGES
        elif pages >= self._long_log_pages:
            with self._turns.waiting():
                self._writer.execute(f"PRAGMA busy_timeout = {EMPTY_LOG_MS}")
                try:
                    is_busy, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    self._writer.execute("PRAGMA busy_timeout = 0")
            self._long_log_pages = pages + LONG_LOG_PAGES if is_busy else LONG_LOG_PAGES

    async def _begin(self) -> None:
        """Take the write lock. Another process may hold it: wait in small steps, never inside SQLite."""
        if trio.current_time() - self._committed_at < STEP_ASIDE_S and self._turns.others_wait():
            await trio.sleep(STEP_ASIDE_S)
        if self._take_lock():
            return
        with trio.move_on_after(BUSY_S), self._turns.waiting():
            while True:
                await trio.sleep(uniform(*BUSY_STEP_S))  # noqa: S311 - so that those who wait do not move in step
                if self._take_lock():
                    return
        raise StorageError("another process kept the write lock")

    def _take_lock(self) -> bool:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            return False
        return True

    def _run_all(self, tickets: list[Ticket]) -> bool:
        """Run each job; False when one failed after it had changed something, so that the others must run again.

        A refusal reads and raises, which leaves nothing to undo: a savepoint for each job is not worth its time here.
        Any other error is undone in any case: SQLite does not count a changed schema among its changes.
        """
        for ticket in _unfinished(tickets):
            before = self._writer.total_changes
            try:
                ticket.result = ticket.job(self._transaction)
            except sqlite3.OperationalError:
                raise
            except Exception as error:  # noqa: BLE001 - handed to the caller that owns the job
                ticket.error = _told(error)
                if not isinstance(error, Problem) or self._writer.total_changes != before:
                    return False
        return True

    def _run_each(self, tickets: list[Ticket]) -> None:
        """Run each job behind a savepoint, so that many that fail in one batch are each undone alone."""
        for ticket in _unfinished(tickets):
            self._writer.execute("SAVEPOINT job")
            try:
                ticket.result = ticket.job(self._transaction)
            except sqlite3.OperationalError:
                raise
            except Exception as error:  # noqa: BLE001 - handed to the caller that owns the job
                ticket.error = _told(error)
                self._writer.execute("ROLLBACK TO job")
            self._writer.execute("RELEASE job")

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            try:
                self._writer.rollback()
            except sqlite3.Error as error:
                raise StorageError(str(error)) from error


def _read(connection: sqlite3.Connection, job: Job[T]) -> T:
    connection.execute("BEGIN")
    try:
        return job(SqliteTransaction(connection))
    finally:
        connection.rollback()


def _unfinished(tickets: list[Ticket]) -> Iterator[Ticket]:
    return (ticket for ticket in tickets if ticket.error is None and not ticket.answered)


def _told(error: Exception) -> Exception:
    """What a job's caller is told: a trigger says no while the database is moved to another, and for ever after."""
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        log.warning("storage.write_refused", reason=str(error))
        return StorageError(str(error))
    return error
