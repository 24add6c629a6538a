"""A line to PostgreSQL: a connection that is made when needed and anew when it broke, for one thread at a time."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from os import dup
from typing import Any, Final, TypeVar

import psycopg
import trio
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper, IntLoader

from app.storage.database import Row, StorageError

T = TypeVar("T")
Connection = psycopg.Connection[Row]
CONNECT_S: Final = 4
#: How long a transaction may keep its locks when the process that began it has stopped.
IDLE_S: Final = 8
#: The part of the deadline for which a batch waits for the turn of a tenant, and with it the other tenants in it.
LOCK_PART: Final = 0.2
#: On top of the server's own limits, before a connection that says nothing is given up.
GRACE_S: Final = 1.0
#: After a connect that failed everything fails at once for this long.
PAUSE_S: Final = 0.2
PREPARED: Final = 300
# It warns of every pipeline that an error ended, which is not news: the error itself is raised and handled.
logging.getLogger("psycopg").setLevel(logging.ERROR)


class Line:
    """Raises StorageError from `run` when the database cannot be reached, is too slow, or loses its connection."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: Connection | None = None
        self._down_until = -1.0
        #: Given up: a thread still waits on it. Whoever holds the line takes a new one.
        self.dead = False

    async def run(self, work: Callable[[Line], T], patience_s: float) -> T:
        """Do `work` in a thread. Not cancellable; gives the connection up when the server says nothing for too long."""
        if trio.current_time() < self._down_until:
            raise StorageError("the database cannot be reached")
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CONNECT_S + patience_s + GRACE_S):
            try:
                return await trio.to_thread.run_sync(work, self, abandon_on_cancel=True)
            except psycopg.Error as error:
                if self._connection is None:
                    self._down_until = trio.current_time() + PAUSE_S
                raise StorageError(described(error)) from None
        self._give_up()
        raise StorageError("the database does not answer")

    def connection(self) -> Connection:
        """For the thread that `run` started. Raises psycopg.OperationalError when there is none to be had."""
        if self.dead:
            raise psycopg.OperationalError("the connection was given up")
        if self._connection is None:
            self._connection = connect(self._conninfo)
            if self.dead:  # meanwhile
                self._connection.close()
                raise psycopg.OperationalError("the connection was given up")
        return self._connection

    def drop_if_broken(self) -> bool:
        """Whether the connection was broken; the next one is new."""
        if self._connection is None or not (self._connection.closed or self._connection.broken):
            return False
        self._connection = None
        return True

    def drop(self) -> None:
        """The next connection is new."""
        self.close()
        self._connection = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _give_up(self) -> None:
        """Leave the connection to its thread, which ends when its socket is shut."""
        self.dead = True
        if self._connection is not None:
            with suppress(psycopg.Error, OSError), socket.socket(fileno=dup(self._connection.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)


def with_limits(url: str, deadline_s: float) -> str:
    """The connection string with limits for every statement, lock and silence; what the URL itself says wins.

    Raises psycopg.ProgrammingError for a URL that makes no sense.
    """
    given = conninfo_to_dict(url)
    limits = {
        "statement_timeout": deadline_s,
        "lock_timeout": deadline_s * LOCK_PART,
        "idle_in_transaction_session_timeout": IDLE_S,
    }
    options = " ".join(f"-c {name}={seconds * 1000:.0f}" for name, seconds in limits.items())
    defaults: dict[str, Any] = {
        "connect_timeout": CONNECT_S,
        "application_name": "callmissed-gateway",
        "tcp_user_timeout": IDLE_S * 1000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return make_conninfo(**{**defaults, **given, "options": f"{options} {given.get('options') or ''}".strip()})


def connect(conninfo: str) -> Connection:
    """A connection for explicit transactions: every integer is 64 bits, statements are prepared at first use."""
    connection: Connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)
    connection.prepared_max = PREPARED
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_loader("numeric", IntLoader)  # the SUM of 64-bit integers
    return connection


def described(error: psycopg.Error) -> str:
    """The server's words without the rows that they quote, or the client's about a connection that failed."""
    return (error.diag.message_primary or str(error) or type(error).__name__).strip()
