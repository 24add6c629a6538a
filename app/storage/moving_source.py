"""The SQLite database that a business moves out of: read beside a running gateway, stopped, and closed for good."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from app.storage.database import Row
from app.storage.ledger import broken_tenants
from app.storage.migrations import MOVED_STEP, moved_to
from app.storage.moving_tables import SCHEMA, Key, MoveError, Table, read_tables
from app.storage.sqlite import SqliteTransaction, connect
from app.storage.turns import Turns

#: The stop lifts itself when nobody renews it: a move that was killed must not keep the gateway from its business.
STOP_S: Final = 15
LOCK_S: Final = 10.0
LOCK_STEP_S: Final = 0.001
READ_BUSY_MS: Final = 5000
STOP: Final = "moving_stop"
NOW: Final = "CAST(strftime('%s', 'now') AS INTEGER)"
SHOWN: Final = 10


class Source:
    """One connection. Raises MoveError when there is no gateway's database at `path`."""

    def __init__(self, path: Path, *, query_only: bool) -> None:
        if not path.is_file():
            raise MoveError(f"sqlite:///{path}: there is no such file")
        self._path = path
        self._connection = connect(path, query_only=query_only)
        self._turns = Turns(path)
        self._patience(READ_BUSY_MS)

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._turns.close()

    def steps(self) -> list[Row]:
        """The schema's steps; none for a file that is no gateway's."""
        known = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (SCHEMA,)).fetchone()
        return self._connection.execute(f"SELECT step, name FROM {SCHEMA} ORDER BY 1").fetchall() if known else []

    def moved_to(self) -> str | None:
        """Where everything in it is by now."""
        return moved_to(SqliteTransaction(self._connection)) if self.steps() else None

    def tables(self) -> list[Table]:
        return read_tables(self._connection)

    def rows(self, table: Table, after: Key | None, limit: int) -> list[Row]:
        """The next rows by key. A statement of its own, which keeps no writer waiting."""
        columns, key = ", ".join(table.columns), ", ".join(table.key)
        marks = ", ".join("?" * len(table.key))
        where = f"WHERE ({key}) > ({marks})" if after is not None else ""
        sql = f"SELECT {columns} FROM {table.name} {where} ORDER BY {key} LIMIT ?"
        return self._connection.execute(sql, (*(after or ()), limit)).fetchall()

    def missing(self, table: Table, keys: Sequence[Key]) -> list[Key]:
        """Which of these keys it does not have."""
        same = " AND ".join(
            f"t.{column} = json_extract(wanted.value, '$[{at}]')" for at, column in enumerate(table.key)
        )
        sql = f"SELECT value FROM json_each(?) AS wanted WHERE NOT EXISTS (SELECT 1 FROM {table.name} t WHERE {same})"
        wanted = msgspec.json.encode(keys).decode()
        return [tuple(msgspec.json.decode(value)) for (value,) in self._connection.execute(sql, (wanted,))]

    def totals(self, table: Table) -> Row:
        row: Row = self._connection.execute(table.totals).fetchone()
        return row

    def unfit(self, table: Table) -> list[tuple[Key, str]]:
        """Key and column of the first values that PostgreSQL cannot keep: U+0000 in a text, or not of the type."""
        wrong = [(column, _unfit(table, column)) for column in table.columns]
        cases = " ".join(f"WHEN {test} THEN '{column}'" for column, test in wrong)
        found = self._connection.execute(
            f"SELECT {', '.join(table.key)}, CASE {cases} END AS which FROM {table.name} "
            f"WHERE which IS NOT NULL LIMIT {SHOWN}"
        )
        return [(row[:-1], row[-1]) for row in found]

    def broken_tenants(self) -> list[str]:
        return broken_tenants(SqliteTransaction(self._connection))

    def open_calls(self) -> int:
        count: int = self._connection.execute("SELECT COUNT(*) FROM calls WHERE state = 'held'").fetchone()[0]
        return count

    def first_open_calls(self) -> list[Row]:
        """(tenant, call, model) of those that have been open for longest."""
        sql = "SELECT tenant_id, id, model FROM calls WHERE state = 'held' ORDER BY opened_at LIMIT ?"
        return self._connection.execute(sql, (SHOWN,)).fetchall()

    @contextmanager
    def standing_still(self, *, locked: bool) -> Iterator[None]:
        """One moment of the database for the length of the block; `locked`: and nobody writes meanwhile."""
        if locked:
            self._lock()
        else:
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()

    def stop(self) -> None:
        """Let no call begin for the next `STOP_S` seconds, in whatever process; calls that run go on to their end."""
        with self.standing_still(locked=True):
            (now,) = self._connection.execute(f"SELECT {NOW}").fetchone()
            self._connection.execute(f"DROP TRIGGER IF EXISTS {STOP}")
            self._connection.execute(
                f"CREATE TRIGGER {STOP} BEFORE INSERT ON calls WHEN {NOW} < {now + STOP_S} "
                "BEGIN SELECT RAISE(ABORT, 'no call may begin: this database is being moved'); END"
            )
            self._connection.commit()

    def lift_stop(self) -> None:
        """Let calls begin again, now rather than when the stop lifts itself."""
        with self.standing_still(locked=True):
            self._connection.execute(f"DROP TRIGGER IF EXISTS {STOP}")
            self._connection.commit()

    def close_for_good(self, where: str) -> None:
        """Commit, within `standing_still(locked=True)`, that everything is at `where` and nothing is written here."""
        execute = self._connection.execute
        execute(f"INSERT INTO {SCHEMA} (step, name) VALUES (?, ?)", (MOVED_STEP, where))
        execute(f"DROP TRIGGER IF EXISTS {STOP}")
        reason = f"this database has been moved to {where}".replace("'", "''")
        for name in (SCHEMA, *(table.name for table in self.tables())):
            for change in ("INSERT", "UPDATE", "DELETE"):
                execute(
                    f"CREATE TRIGGER moved_{name}_{change.lower()} BEFORE {change} ON {name} "
                    f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
                )
        self._connection.commit()

    def _lock(self) -> None:
        """Take the write lock from gateways that commit again and again; they let go first who says that it waits."""
        until = time.monotonic() + LOCK_S
        self._patience(0)
        try:
            with self._turns.waiting():
                while not self._took_lock():
                    if time.monotonic() > until:
                        raise MoveError(f"sqlite:///{self._path}: another process keeps the write lock; run this again")
                    time.sleep(LOCK_STEP_S)
        finally:
            self._patience(READ_BUSY_MS)

    def _took_lock(self) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def _patience(self, busy_ms: int) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {busy_ms}")


def _unfit(table: Table, column: str) -> str:
    """The SQL test for one column. SQLite takes any value in any column, and NULL in a key of text."""
    own = "integer" if table.type_of(column) == "bigint" else "text"
    allowed = f"'{own}'" if column in table.key else f"'{own}', 'null'"
    other_type = f"typeof({column}) NOT IN ({allowed})"
    return f"{other_type} OR instr({column}, char(0)) > 0" if own == "text" else other_type
