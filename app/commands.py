"""What every command line of the product does alike: its log, its interpreter, and errors that the user can mend."""

from __future__ import annotations

import ctypes
import gc
import logging
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TextIO, cast

import structlog
import trio

from app.config import ConfigError
from app.core.errors import Problem, first_error
from app.observability.log import AddNames, Unbreakable, process_names
from app.observability.observer import MissingExtra
from app.storage.database import StorageError
from app.storage.migrations import NewerDatabase
from catalog.documents import CatalogError

#: glibc's number for it.
M_ARENA_MAX: Final = -8


class Mendable(Exception):
    """Something the user can mend; the text says how."""


MENDABLE: Final = (
    *(Mendable, CatalogError, ConfigError, MissingExtra, NewerDatabase, OSError, Problem, StorageError, sqlite3.Error),
)


def exit_code(work: Callable[[], int]) -> int:
    """Run `work`; what the user can mend is told on standard error and makes 1, everything else is raised."""
    try:
        return work()
    except BaseException as error:
        leaf = first_error(error)
        if not isinstance(leaf, MENDABLE):
            raise
        print(f"error: {leaf}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
        return 1


def run_async(work: Callable[[], Awaitable[int]]) -> int:
    """`exit_code` for an async command."""
    return exit_code(lambda: trio.run(work))


def configure_log(level: str) -> None:
    """JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            AddNames(process_names()),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Unbreakable(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def tune_interpreter() -> None:
    """For a server: worker threads get their turn in 1 ms, the collector looks less often, memory has one arena.

    With an arena for each thread, glibc keeps what one of them freed from the others, and a process grows for hours.
    """
    sys.setswitchinterval(0.001)
    gc.set_threshold(20_000, 20, 100)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have no such call, and no such arenas
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
