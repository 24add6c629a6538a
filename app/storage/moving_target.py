"""The PostgreSQL database that a business moves into: one connection that sees every tenant and takes its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final

from psycopg import errors

from app.storage.database import EVERY_TENANT, Row
from app.storage.engines import shown
from app.storage.ledger import broken_tenants
from app.storage.moving_tables import SCHEMA, Key, MoveError, Table
from app.storage.postgres_line import connect, with_limits
from app.storage.postgres_role import unbound_role
from app.storage.postgres_transaction import PostgresTransaction

STATEMENT_S: Final = 600.0
#: For a move before us that was killed: the server notices when its statement has ended.
OTHER_MOVE_S: Final = 10
#: No tenant's lock has this number: theirs are not negative.
LOCK: Final = -1


class Target:
    """Holds the one lock of moves into this database. Raises MoveError when another move has it, psycopg.Error."""

    def __init__(self, url: str) -> None:
        self._connection = connect(with_limits(url, STATEMENT_S))
        try:
            self._begin(url)
        except BaseException:
            self._connection.close()
            raise

    def _begin(self, url: str) -> None:
        for name, value in (
            ("gateway.tenant", EVERY_TENANT),
            ("synchronous_commit", "on"),
            ("lock_timeout", f"{OTHER_MOVE_S}s"),
        ):
            self._connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        try:
            self._connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        except errors.LockNotAvailable:
            raise MoveError(f"{shown(url)}: another move into it is running; wait for its end") from None

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def steps(self) -> list[Row]:
        return self._connection.execute(f"SELECT step, name FROM {SCHEMA} ORDER BY 1").fetchall()

    def unbound_role(self) -> str | None:
        """The role that it works as, when row-level security does not bind that."""
        return unbound_role(PostgresTransaction(self._connection))

    def rows(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row]:
        """Its rows with these keys."""
        key = ", ".join(table.key)
        found = self._connection.execute(
            f"SELECT {', '.join(table.columns)} FROM unnest({_arrays(table, table.key)}) AS wanted ({key}) "
            f"JOIN {table.name} USING ({key})",
            _by_column(keys),
        )
        return {table.key_of(row): row for row in found}

    def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert them, or give rows of the same key these values. Raises psycopg.IntegrityError, psycopg.DataError."""
        rest = [column for column in table.columns if column not in table.key]
        values = ", ".join(f"{column} = excluded.{column}" for column in rest)
        self._connection.execute(
            f"INSERT INTO {table.name} ({', '.join(table.columns)}) "
            f"SELECT * FROM unnest({_arrays(table, table.columns)}) "
            f"ON CONFLICT ({', '.join(table.key)}) DO {f'UPDATE SET {values}' if rest else 'NOTHING'}",
            _by_column(rows),
        )

    def keys(self, table: Table, size: int) -> Iterator[list[Key]]:
        """All its keys, so many at a time, in no order."""
        with self._connection.transaction(), self._connection.cursor(name="moving") as cursor:
            cursor.execute(f"SELECT {', '.join(table.key)} FROM {table.name}")
            while keys := cursor.fetchmany(size):
                yield keys

    def delete(self, table: Table, keys: Sequence[Key]) -> None:
        key = ", ".join(table.key)
        self._connection.execute(
            f"DELETE FROM {table.name} WHERE ({key}) IN (SELECT * FROM unnest({_arrays(table, table.key)}))",
            _by_column(keys),
        )

    def empty(self, table: Table) -> None:
        """Take all rows out of the table, and out of those that refer to it."""
        self._connection.execute(f"TRUNCATE {table.name} CASCADE")

    def totals(self, table: Table) -> Row:
        (row,) = self._connection.execute(table.totals).fetchall()
        return row

    def analyse(self, table: Table) -> None:
        """Tell the planner about the rows that came at once, before the first query needs to know."""
        self._connection.execute(f"ANALYZE {table.name}")

    def broken_tenants(self) -> list[str]:
        return broken_tenants(PostgresTransaction(self._connection))


def _arrays(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f"%s::{table.type_of(column)}[]" for column in columns)


def _by_column(rows: Sequence[Row]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
