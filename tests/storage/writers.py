"""One job after the other in a transaction of its own: the engines' writing without queue and threads."""

from __future__ import annotations

from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import Any, Protocol

from app.storage.database import Job, Ticket, Transaction
from app.storage.migrations import migrate_job
from app.storage.postgres_batch import commit_all
from app.storage.postgres_line import Line
from app.storage.sqlite import SqliteTransaction, connect
from tests.databases import open_view


class Writer(Protocol):
    """A database with empty tables. `view` shows what was committed, of all tenants."""

    @property
    def view(self) -> Transaction: ...

    def run(self, scope: str, job: Job[Any]) -> Any:
        """All of the job or nothing of it; raises what it raises."""
        ...

    def close(self) -> None: ...


class OnSqlite:
    """In memory."""

    def __init__(self) -> None:
        self._connection = connect(Path(":memory:"))
        self.view = SqliteTransaction(self._connection)
        migrate_job(self.view)

    def run(self, _: str, job: Job[Any]) -> Any:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = job(self.view)
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()
        return result

    def close(self) -> None:
        self._connection.close()


class OnPostgres:
    """Empties the migrated database at `url`."""

    def __init__(self, url: str) -> None:
        self._line = Line(url)
        self._open = ExitStack()
        self.view = self._open.enter_context(open_view(url))
        self.view.do("TRUNCATE tenants CASCADE")

    def run(self, scope: str, job: Job[Any]) -> Any:
        ticket = Ticket(job, scope, None, late_at=inf, durable=True, patience_s=5)
        commit_all(self._line, [ticket], None)
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def close(self) -> None:
        self._line.close()
        self._open.close()
