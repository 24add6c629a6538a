"""What can befall a PostgreSQL server, done to one that nobody else uses."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, LiteralString, get_args

import psycopg
import trio

from scripts.clustering.postgres import Postgres
from tests.databases import elsewhere

Stop = Literal["kill -9", "immediate", "fast"]
STOPS: Final[tuple[Stop, ...]] = get_args(Stop)
#: For `as_admin`: so that a gateway meets at once what has changed for new connections.
THROW_OUT: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'"
#: A full disk has room for files of so many bytes.
ROOM: Final = 2 * 1024 * 1024
_ROW: Final = 2048
_FILL: Final = """
    INSERT INTO calls (tenant_id, id, key_id, request_id, endpoint, category, model, streamed, month, opened_at, hold,
        expires_at, state, ended_at, outcome, rule, receipt)
    SELECT ?, 'old_' || n, '', '', '', 'llm', '', 0, '', 0, 0, 0, 'voided', 0, 'failed', 'B6',
        json_build_object('note', repeat('x', 1800))
    FROM generate_series(1, ?) AS n"""


async def stop(server: Postgres, how: Stop) -> None:
    await trio.to_thread.run_sync(server.kill if how == "kill -9" else lambda: server.stop(how))


async def start(server: Postgres) -> None:
    await trio.to_thread.run_sync(server.start)


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """It keeps its connections and says nothing."""
    pids = server.pids()
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def as_admin(server: Postgres, *statements: LiteralString) -> None:
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres", autocommit=True) as admin:
        for statement in statements:
            admin.execute(statement)


@contextmanager
def full_disk(server: Postgres, url: str, tenant_id: str) -> Iterator[None]:
    """No file of the server may grow beyond `ROOM`, and the table of calls has, with old ones that nobody paid for.

    The server's log has just begun a new file, so that there is room in it: without, it would end as if killed.
    """
    elsewhere(url, lambda db: db.do(_FILL, tenant_id, ROOM // _ROW))
    as_admin(server, "CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT")
    _let_files_grow(server, str(ROOM))
    try:
        yield
    finally:
        _let_files_grow(server, "unlimited")


def _signal(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def _let_files_grow(server: Postgres, most: str) -> None:
    """For the server's processes, and so for those that it will start; only their own user may say it."""
    for pid in server.pids():
        with suppress(FileNotFoundError):
            owner = Path(f"/proc/{pid}").stat()
            command = ["prlimit", f"--pid={pid}", f"--fsize={most}:"]
            subprocess.run(command, user=owner.st_uid, group=owner.st_gid, capture_output=True, check=pid == server.pid)
