"""Stops a gateway in the middle of a transaction: a trigger in its database that does not come to an end.

Whoever trips it is killed there, so that everything before that transaction has happened and nothing of it has.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import trio

from app.storage.database import Transaction
from app.storage.engines import sqlite_path
from tests.databases import open_view

#: Nobody else keeps the lock of a SQLite file for so long.
STUCK_S: Final = 0.3
LOOK_S: Final = 0.02
STOPPED_WITHIN_S: Final = 10.0
FOREVER: Final = """
    CREATE VIEW IF NOT EXISTS forever AS
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS i FROM n"""
SLEEP: Final = """
    CREATE OR REPLACE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(3600); RETURN NEW; END'"""
ASLEEP: Final = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"


class Wire(NamedTuple):
    """The statement that trips it; `when` speaks of NEW and, of an UPDATE, of OLD."""

    act: str
    table: str
    when: str


@contextmanager
def laid(url: str, wire: Wire) -> Iterator[None]:
    """The wire is there for the length of the block; whoever has tripped it must be dead at its end."""
    with open_view(url) as db:
        if db.engine == "sqlite":
            db.do(FOREVER)
            body = "BEGIN SELECT i FROM forever; END"
        else:
            db.do(SLEEP)
            body = "EXECUTE FUNCTION trip()"
        rows = "" if db.engine == "sqlite" else "FOR EACH ROW "
        db.do(f"CREATE TRIGGER tripwire BEFORE {wire.act} ON {wire.table} {rows}WHEN ({wire.when}) {body}")
    try:
        yield
    finally:
        with open_view(url) as db:
            _take_up(db, wire)


def _take_up(db: Transaction, wire: Wire) -> None:
    """The server's side of a dead client would sleep on."""
    if db.engine == "sqlite":
        db.do("DROP TRIGGER tripwire")
        return
    db.all(f"SELECT pg_terminate_backend(pid) {ASLEEP}")
    db.do(f"DROP TRIGGER tripwire ON {wire.table}")
    db.do("DROP FUNCTION trip")


async def tripped(url: str) -> None:
    """Wait until somebody has stopped there."""
    path = sqlite_path(url)
    with trio.fail_after(STOPPED_WITHIN_S):
        if path is not None:
            await _locked_for(path, STUCK_S)
        else:
            with open_view(url) as db:
                while not db.all(f"SELECT pid {ASLEEP}"):  # noqa: ASYNC110 - the server tells nobody
                    await trio.sleep(LOOK_S)


async def _locked_for(path: Path, seconds: float) -> None:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as file:
        since = trio.current_time()
        while trio.current_time() - since < seconds:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                await trio.sleep(LOOK_S)
            else:
                file.execute("ROLLBACK")
                await trio.sleep(LOOK_S)
                since = trio.current_time()
