"""Copying by comparing: the next rows of the source, the same keys of the target, and what differs is written.

So a second run finds its way at reading speed, and one that has nothing to write has proved that all is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from psycopg import errors

from app.storage.database import Row
from app.storage.moving_source import Source
from app.storage.moving_tables import Key, MoveError, Table
from app.storage.moving_target import Target

CHUNK: Final = 1000
#: How often a table may be started over while its source changes under our hands.
TRIES: Final = 3


class _Overtaken(Exception):
    """A row of the target, copied earlier, has a value by now that another row has in the source."""


class Copier:
    """Copies tables from `source` to `target`. `tables` are all there are, by name."""

    def __init__(self, source: Source, target: Target, tables: Mapping[str, Table]) -> None:
        self._source = source
        self._target = target
        self._tables = tables

    def copy(self, table: Table, tell: Callable[[int], None]) -> int:
        """Make every row of the source stand in the target; returns how many had to be written.

        `tell` is told how many rows were looked at so far. Raises MoveError, psycopg.Error.
        """
        for _ in range(TRIES):
            try:
                return self._copy(table, tell)
            except _Overtaken:
                self._target.empty(table)
        raise MoveError(f"{table.name} changes faster than it can be copied; run this again")

    def strangers(self, table: Table) -> list[Key]:
        """Keys in the target that the source does not have."""
        return [key for keys in self._target.keys(table, CHUNK) for key in self._source.missing(table, keys)]

    def _copy(self, table: Table, tell: Callable[[int], None]) -> int:
        written = seen = 0
        after: Key | None = None
        while rows := self._source.rows(table, after, CHUNK):
            different = self._different(table, rows)
            if different:
                self._write(table, different)
                written += len(different)
            seen += len(rows)
            after = table.key_of(rows[-1])
            tell(seen)
        return written

    def _different(self, table: Table, rows: list[Row]) -> list[Row]:
        have = self._target.rows(table, [table.key_of(row) for row in rows])
        return [row for row in rows if have.get(table.key_of(row)) != row]

    def _write(self, table: Table, rows: list[Row]) -> None:
        try:
            try:
                self._target.put(table, rows)
            except errors.ForeignKeyViolation:  # what they refer to was made after its own table had its turn
                for parent in table.parents:
                    self.copy(self._tables[parent], lambda _: None)
                self._target.put(table, rows)
        except errors.UniqueViolation:
            raise _Overtaken from None
        if changed := self._different(table, rows):
            raise MoveError(f"PostgreSQL does not give back what it was given: {table.name} {table.key_of(changed[0])}")
