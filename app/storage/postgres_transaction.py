"""What a job is given on PostgreSQL, in pipeline mode: only what it reads is waited for."""

from __future__ import annotations

from typing import Final, LiteralString

import psycopg
from psycopg.pq import TransactionStatus

from app.storage.database import Row
from app.storage.postgres_line import Connection

ENTER: Final = "SELECT set_config('gateway.tenant', %s, true)"

_statements: dict[str, LiteralString] = {}


def translated(sql: str) -> LiteralString:
    """`?` as psycopg writes it; remembered, so that equal statements are one object."""
    found = _statements.get(sql)
    if found is None:
        found = _statements[sql] = sql.replace("%", "%%").replace("?", "%s")
    return found


class PostgresTransaction:
    """A `Transaction` on a connection in pipeline mode. `writes` counts what was not a plain SELECT."""

    __slots__ = ("_connection", "_scope", "writes")
    engine: Final = "postgresql"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._scope = ""
        self.writes = 0

    def enter(self, scope: str) -> None:
        """From here on the rows of this tenant are seen, and no others."""
        if scope != self._scope:
            self._connection.execute(ENTER, (scope,))
            self._scope = scope

    def run(self, sql: str, *values: object) -> int:
        cursor = self._execute(sql, values)
        if self._connection.pgconn.pipeline_status:
            with self._connection.pipeline() as pipeline:
                pipeline.sync()
        return cursor.rowcount

    def do(self, sql: str, *values: object) -> None:
        self._execute(sql, values)

    def one(self, sql: str, *values: object) -> Row | None:
        return self._execute(sql, values).fetchone()

    def all(self, sql: str, *values: object) -> list[Row]:
        return self._execute(sql, values).fetchall()

    def _execute(self, sql: str, values: tuple[object, ...]) -> psycopg.Cursor[Row]:
        self.writes += not sql.lstrip().startswith("SELECT")
        try:
            return self._connection.execute(translated(sql), values)
        except psycopg.DataError:
            clean = tuple(_without_nul(value) for value in values)
            if clean == values:
                raise
            return self._connection.execute(translated(sql), clean)


def _without_nul(value: object) -> object:
    """PostgreSQL keeps every character but this one, which SQLite keeps, too."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def leave(connection: Connection) -> None:
    """Nothing may stay open. A connection that cannot even roll back is broken, and seen to be."""
    if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
        try:
            connection.rollback()
        except psycopg.Error:
            connection.close()
