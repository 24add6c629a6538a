"""A connection that takes rows by the ten thousand, on either engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final, Protocol

from app.storage.database import EVERY_TENANT, Row, Transaction
from app.storage.engines import sqlite_path
from app.storage.postgres_line import Connection, connect
from app.storage.postgres_transaction import PostgresTransaction
from app.storage.sqlite import SqliteTransaction
from app.storage.sqlite import connect as connect_sqlite

CACHE_KIB: Final = 262_144


class Sink(Protocol):
    """`db` sees every tenant; what is done between `begin` and `commit` is one transaction."""

    db: Transaction

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert rows, as many as a list can hold."""
        ...

    def analyse(self) -> None:
        """Tell the planner what there is now, as the database itself would in the course of a day."""
        ...


class _SqliteSink:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self.db: Transaction = SqliteTransaction(connection)

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608 - names of ours

    def analyse(self) -> None:
        """The gateway never asks SQLite to."""


class _PostgresSink:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.execute("SELECT set_config('gateway.tenant', %s, false)", (EVERY_TENANT,))
        connection.execute("SET statement_timeout = 0")
        self.db: Transaction = PostgresTransaction(connection)

    def begin(self) -> None:
        self._connection.execute("BEGIN")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """By arrays: COPY is not for tables with row-level security."""
        types = self._types_of(table)
        values = [list(column) for column in zip(*rows, strict=True)]
        arrays = ", ".join(f"%s::{types[column]}[]" for column in columns)
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})",  # noqa: S608 - names of ours
            values,
        )

    def _types_of(self, table: str) -> dict[str, str]:
        sql = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ?"
        return {str(name): str(kind) for name, kind in self.db.all(sql, table)}

    def analyse(self) -> None:
        self._connection.execute("VACUUM ANALYZE")


@contextmanager
def open_sink(url: str) -> Iterator[Sink]:
    """Into a database that is migrated. Raises sqlite3.Error, psycopg.Error."""
    path = sqlite_path(url)
    if path is not None:
        with closing(connect_sqlite(path, "NORMAL")) as connection:
            yield _SqliteSink(connection)
    else:
        with closing(connect(url)) as session:
            yield _PostgresSink(session)
