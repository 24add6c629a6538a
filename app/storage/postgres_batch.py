"""A batch of jobs in one PostgreSQL transaction, or in as few as it takes to undo no more than what failed."""

from __future__ import annotations

import zlib
from contextlib import nullcontext
from itertools import groupby
from typing import Final

import psycopg
import structlog
from psycopg import errors

from app.core.errors import Problem
from app.storage.database import EVERY_TENANT, StorageError, Ticket
from app.storage.postgres_line import Connection, Line, described
from app.storage.postgres_transaction import PostgresTransaction, leave

#: A batch that lost a race or, before its commit, its connection is tried again.
TRIES: Final = 3
LOCK: Final = "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key"
LOCK_WHAT_IS_FREE: Final = "SELECT key FROM unnest(%s::bigint[]) AS key WHERE NOT pg_try_advisory_xact_lock(key)"
BE_PATIENT: Final = "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)"
#: Errors that a single job is to blame for.
BLAMED: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.NotSupportedError)
log = structlog.get_logger(__name__)


def commit_all(line: Line, tickets: list[Ticket], patience_s: float | None) -> None:
    """Run every ticket; whose tenant's turn does not come soon is postponed, so that the other tenants need not wait.

    Where tickets cannot share a transaction, each tenant has its own, and at last each ticket.
    Raises psycopg.Error or StorageError when nothing at all was kept, as far as we know.
    """
    try:
        try:
            _commit_together(line, tickets, patience_s)
        except errors.LockNotAvailable:
            _commit_together(line, tickets, patience_s, wait=False)
    except errors.LockNotAvailable as error:  # of rows, by somebody who takes no turns
        parts = _by_tenant(tickets)
        if len(parts) > 1:
            _commit_parts(line, parts, patience_s, error)
        else:
            for ticket in tickets:
                ticket.postponed = True
    except BLAMED as error:
        if len(tickets) == 1:
            tickets[0].error = error
        else:
            parts = _by_tenant(tickets)
            _commit_parts(line, parts if len(parts) > 1 else [[ticket] for ticket in tickets], patience_s, error)


def _commit_parts(line: Line, parts: list[list[Ticket]], patience_s: float | None, error: psycopg.Error) -> None:
    log.info("storage.batch_split", error=described(error), parts=len(parts))
    for part in parts:
        try:
            commit_all(line, part, patience_s)
        except (psycopg.Error, StorageError) as reason:
            for ticket in part:
                ticket.error = StorageError(str(reason))


def _by_tenant(tickets: list[Ticket]) -> list[list[Ticket]]:
    return [list(group) for _, group in groupby(_ordered(tickets), key=_scope)]


def _ordered(tickets: list[Ticket]) -> list[Ticket]:
    """By tenant, so that scopes change rarely; a tenant's own jobs keep their order."""
    return sorted(tickets, key=_scope)


def _scope(ticket: Ticket) -> str:
    return ticket.scope


def _commit_together(line: Line, tickets: list[Ticket], patience_s: float | None, *, wait: bool = True) -> None:
    for _ in range(TRIES):
        attempt = _Attempt(line.connection(), tickets, patience_s, wait)
        try:
            while not attempt.run():
                pass
        except (errors.SerializationFailure, errors.DeadlockDetected) as error:
            log.info("storage.batch_again", error=described(error))
        except errors.InvalidSqlStatementName:  # a pool in between, or a schema change, took our statements away
            line.drop()
        except errors.ReadOnlySqlTransaction:  # a replica, or one that is to be: the next connection may find another
            line.drop()
            raise
        except psycopg.OperationalError:
            if attempt.committing or not line.drop_if_broken():
                raise
        else:
            return
    raise StorageError("the transaction was disturbed again and again")


class _Attempt:
    """One transaction with all tickets, or without `wait` those whose tenant's turn it is; the others are postponed.

    `committing`: from here on it may have been kept, whatever we hear.
    """

    def __init__(self, connection: Connection, tickets: list[Ticket], patience_s: float | None, wait: bool) -> None:
        self.committing = False
        self._wait = wait
        self._connection = connection
        self._tickets = tickets
        self._patience_s = patience_s

    def run(self) -> bool:
        """False when nothing is kept and the others must run again: a job failed after it had written, or was late."""
        connection = self._connection
        try:
            # psycopg forgets its prepared statements at a schema change, and in a pipeline it would do so too late.
            with connection.pipeline() if self._patience_s is None else nullcontext():
                self._begin()
                if not self._run_jobs():
                    return False
                self.committing = True
                end = connection.execute("COMMIT")
            if end.statusmessage != "COMMIT":
                raise StorageError("the transaction was rolled back")
            return True
        finally:
            leave(connection)

    def _begin(self) -> None:
        execute = self._connection.execute
        execute("BEGIN")
        if self._patience_s is not None:
            limit_ms = f"{self._patience_s * 1000:.0f}"
            execute(BE_PATIENT, (limit_ms, limit_ms))
        keys = sorted({lock_key(ticket.scope) for ticket in self._tickets})
        if self._wait:
            execute(LOCK, (keys,))
        else:
            taken = {key for (key,) in execute(LOCK_WHAT_IS_FREE, (keys,)).fetchall()}
            for ticket in self._tickets:
                ticket.postponed = lock_key(ticket.scope) in taken

    def _run_jobs(self) -> bool:
        transaction = PostgresTransaction(self._connection)
        waiting = [ticket for ticket in _ordered(self._tickets) if ticket.waits]
        for ticket in waiting:
            transaction.enter(ticket.scope)
            before = transaction.writes
            try:
                ticket.result = ticket.job(transaction)
            except psycopg.Error:
                raise
            except Exception as error:  # noqa: BLE001 - handed to the caller that owns the job
                ticket.error = error
                if not isinstance(error, Problem) or transaction.writes != before:
                    return False
        # Whoever waited too long, for a lock of ours, has been told that it did not happen: then it shall not.
        return not any(ticket.answered for ticket in waiting)


def lock_key(scope: str) -> int:
    """Where tenants take turns; two that share a number merely wait for each other now and then."""
    return 0 if scope == EVERY_TENANT else zlib.crc32(scope.encode())
