"""PostgreSQL as an engine: psycopg in worker threads, one writing connection and a few reading ones.

A batch goes out in pipeline mode: only what a job reads is waited for, its writes ride along with the next read or the
commit. Jobs of one tenant take turns, in whatever process: an advisory lock is taken before the first of them runs, and
every statement after it sees what the others committed. Row-level security shows a job the rows of its tenant only.
"""

from __future__ import annotations

from typing import Final, TypeVar

import psycopg
import trio
from psycopg import errors

from app.storage.database import Job, Ticket
from app.storage.postgres_batch import commit_all
from app.storage.postgres_line import Connection, Line, with_limits
from app.storage.postgres_transaction import PostgresTransaction, leave

T = TypeVar("T")
READERS: Final = 4
BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresEngine:
    """One database by its URL; connects when first used. Raises psycopg.ProgrammingError for a URL without sense."""

    always_durable = True

    def __init__(self, url: str, deadline_s: float = 5.0) -> None:
        self._conninfo = with_limits(url, deadline_s)
        self._deadline_s = deadline_s
        self._writer = Line(self._conninfo)
        self._readers = [Line(self._conninfo) for _ in range(READERS)]
        self._free = trio.CapacityLimiter(READERS)

    async def commit(self, tickets: list[Ticket]) -> None:
        if not tickets:
            return
        longest_s = max(ticket.patience_s for ticket in tickets)
        patience_s = longest_s if longest_s > self._deadline_s else None
        try:
            await self._writer.run(lambda line: commit_all(line, tickets, patience_s), longest_s)
        finally:
            if self._writer.dead:
                self._writer = Line(self._conninfo)

    async def read(self, scope: str, job: Job[T]) -> T:
        async with self._free:
            line = self._readers.pop()
            try:
                return await line.run(lambda line: read_once(line, scope, job), self._deadline_s)
            finally:
                self._readers.append(Line(self._conninfo) if line.dead else line)

    async def reach(self) -> None:
        """Raises StorageError when no connection is to be had, with the reason."""
        await self._writer.run(lambda line: (line.connection(), None)[1], self._deadline_s)

    def close(self) -> None:
        for line in (self._writer, *self._readers):
            line.close()


def read_once(line: Line, scope: str, job: Job[T]) -> T:
    """`job` on one moment of the database; again on a new connection when this one turns out to be broken."""
    try:
        return _read(line.connection(), scope, job)
    except errors.InvalidSqlStatementName:
        line.drop()
    except psycopg.OperationalError:
        if not line.drop_if_broken():
            raise
    return _read(line.connection(), scope, job)


def _read(connection: Connection, scope: str, job: Job[T]) -> T:
    try:
        with connection.pipeline():
            connection.execute(BEGIN_READ)
            transaction = PostgresTransaction(connection)
            transaction.enter(scope)
            result = job(transaction)
            connection.execute("COMMIT")  # after a ROLLBACK psycopg would forget its prepared statements
            return result
    finally:
        leave(connection)
