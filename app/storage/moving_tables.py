"""What there is to move, as the schema itself tells it: tables with their columns and keys, parents before children."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final

from app.storage.database import Row, StorageError

Key = tuple[Any, ...]
#: Not a part of the business: each database keeps account of its own schema.
SCHEMA: Final = "schema_steps"
#: The only tables that the gateway deletes rows from; elsewhere a row that the source does not have is a stranger's.
DELETED_FROM: Final = frozenset(
    {"catalog_entries", "idempotency_keys", "images", "invitations", "responses", "sessions", "throttles", "users"}
    | {"deliveries", "delivery_attempts", "webhooks"}
    | {"numbers"}
    | {"aliases", "dead_letters", "inbox", "media"}
)
#: Columns of which both sides must have the same sum.
MONEY: Final = ("amount", "balance", "held", "charge", "uncollected", "spent")
#: How SQLite's declared types are called in PostgreSQL.
TYPES: Final = {"TEXT": "text", "BIGINT": "bigint"}


class MoveError(StorageError):
    """Why a move stopped, and what to do about it. Nothing is lost: the source is in use as before."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `types` go with `columns`, `parents` are the tables that its rows refer to."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: tuple[str, ...]
    parents: frozenset[str]

    @property
    def money(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column in MONEY)

    def key_of(self, row: Row) -> Key:
        return tuple(row[self.columns.index(column)] for column in self.key)

    def type_of(self, column: str) -> str:
        return self.types[self.columns.index(column)]

    @property
    def totals(self) -> str:
        """SQL for both sides: how many rows, and the sum of each column of `money`."""
        sums = "".join(f", COALESCE(SUM({column}), 0)" for column in self.money)
        return f"SELECT COUNT(*){sums} FROM {self.name}"


def read_tables(connection: sqlite3.Connection) -> list[Table]:
    """Every table but `SCHEMA`, in an order in which no row comes before one it refers to.

    Raises MoveError for a table that the gateway cannot have made.
    """
    names = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name <> ? ORDER BY 1",
            (SCHEMA,),
        )
    ]
    tables = {name: _read_table(connection, name) for name in names}
    order = TopologicalSorter({name: tables[name].parents for name in names}).static_order()
    return [tables[name] for name in order]


def _read_table(connection: sqlite3.Connection, name: str) -> Table:
    columns = connection.execute("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid", (name,)).fetchall()
    if not {kind for _, kind, _ in columns} <= TYPES.keys() or not any(pk for *_, pk in columns):
        raise MoveError(f"the table {name} is not the gateway's own: keep a copy of it elsewhere and drop it first")
    parents = connection.execute('SELECT "table" FROM pragma_foreign_key_list(?)', (name,)).fetchall()
    return Table(
        name=name,
        columns=tuple(column for column, _, _ in columns),
        types=tuple(TYPES[kind] for _, kind, _ in columns),
        key=tuple(column for place, column in sorted((pk, column) for column, _, pk in columns) if place),
        parents=frozenset(parent for (parent,) in parents if parent != name),
    )
