"""Stops a gateway in the middle of a transaction: a trigger in its database that does not come to an end.

Whoever trips it is killed there, so that everything before that transaction has happened and nothing of it has. It says
itself that somebody has: no clock is asked, since on a busy machine everything takes as long as one that has stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from app.storage.engines import sqlite_path
from app.storage.sqlite import CACHE_KIB
from tests.databases import open_view

ENDLESS: Final = """
    CREATE VIEW endless AS
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"""
#: Of 4 KB each, twice as many as the writer keeps in its memory: the first of them are in the log before its commit.
ROWS: Final = 2 * CACHE_KIB[False] // 4
SHOUT: Final = "INSERT INTO tripped SELECT 'tripped ' || '{word}' || hex(zeroblob(2000)) FROM endless LIMIT {rows}"
STOP: Final = "SELECT COUNT(*) FROM endless"
SLEEP: Final = """
    CREATE OR REPLACE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(3600); RETURN NEW; END'"""
ASLEEP: Final = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"


class Wire(NamedTuple):
    """The statement that trips it; `when` speaks of NEW and, of an UPDATE, of OLD."""

    act: str
    table: str
    when: str

    @property
    def trigger(self) -> str:
        return f"CREATE TRIGGER tripwire BEFORE {self.act} ON {self.table}"


def laid(url: str, wire: Wire) -> AbstractContextManager[Callable[[], bool]]:
    """The wire is there for the length of the block, which is told whether somebody has stopped there by now.

    Whoever has must be dead at its end.
    """
    path = sqlite_path(url)
    return _on_postgres(url, wire) if path is None else _on_sqlite(url, path, wire)


@contextmanager
def _on_sqlite(url: str, path: Path, wire: Wire) -> Iterator[Callable[[], bool]]:
    """It stops the whole process, whose statements run on its loop."""
    word = secrets.token_hex(16)
    shout = SHOUT.format(word=word, rows=ROWS)  # which does not hold the words as they are said
    with open_view(url) as db:
        db.do(ENDLESS)
        db.do("CREATE TABLE tripped (word TEXT)")
        db.do(f"{wire.trigger} WHEN ({wire.when}) BEGIN {shout}; {STOP}; END")
    log, said = path.with_name(f"{path.name}-wal"), f"tripped {word}".encode()
    yield lambda: said in log.read_bytes()
    with open_view(url) as db:  # if all went well: whoever still stops there would not let us
        db.do("DROP TRIGGER tripwire")
        db.do("DROP TABLE tripped")
        db.do("DROP VIEW endless")


@contextmanager
def _on_postgres(url: str, wire: Wire) -> Iterator[Callable[[], bool]]:
    """It stops the process's writer, for as long as its deadline lets a statement take."""
    with open_view(url) as db:
        db.do(SLEEP)
        db.do(f"{wire.trigger} FOR EACH ROW WHEN ({wire.when}) EXECUTE FUNCTION trip()")
        try:
            yield lambda: bool(db.all(f"SELECT pid {ASLEEP}"))
        finally:
            db.all(f"SELECT pg_terminate_backend(pid) {ASLEEP}")  # it would sleep on without its client
            db.do(f"DROP TRIGGER tripwire ON {wire.table}")
            db.do("DROP FUNCTION trip")
