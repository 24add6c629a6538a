"""A tripwire stops whoever does what it waits for, tells of it, and of nobody else."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import trio

from tests.books import open_books
from tests.databases import ON_BOTH, elsewhere, open_view, write_locked
from tests.e2e.process import ROOT
from tests.e2e.tripwires import Wire, laid

pytestmark = ON_BOTH

INSERT: Final = "INSERT INTO steps VALUES ({})"
WRITE: Final = """
import sys
from tests.databases import elsewhere
elsewhere(sys.argv[1], lambda db: db.do(sys.argv[2]))
"""
WITHIN_S: Final = 30.0


async def test_only_who_trips_it_is_stopped_and_told_of_and_a_kill_leaves_nothing_of_what_it_did(
    database_url: str,
) -> None:
    async with open_books(database_url):
        with open_view(database_url) as db:
            db.do("CREATE TABLE steps (n BIGINT)")
        with laid(database_url, Wire("INSERT", "steps", "NEW.n = 2")) as is_tripped:
            elsewhere(database_url, lambda db: db.do(INSERT.format(1)))
            with write_locked(database_url, "somebody"):
                assert not is_tripped()
            writer = subprocess.Popen([sys.executable, "-c", WRITE, database_url, INSERT.format(2)], cwd=ROOT)  # noqa: ASYNC220
            try:
                with trio.fail_after(WITHIN_S):
                    while not is_tripped():  # noqa: ASYNC110 - another process brings it about
                        await trio.sleep(0.02)
            finally:
                writer.kill()
                writer.wait()
        with open_view(database_url) as db:
            db.do(INSERT.format(2))
            assert db.all("SELECT n FROM steps ORDER BY n") == [(1,), (2,)]
            db.do("DROP TABLE steps")
