"""From a database's URL to its engine: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

import psycopg

from app.storage.database import Engine, StorageError
from app.storage.postgres import PostgresEngine
from app.storage.sqlite import SqliteEngine

SQLITE: Final = "sqlite:///"
POSTGRES: Final = ("postgresql://", "postgres://")
WELL_FORMED: Final = re.compile(r"\w+://(([^%@/?#\s]|%[0-9a-fA-F]{2})*@)?[^@?#\s]*(\?[^#\s]*)?")


async def open_engine(url: str, *, synchronous: Literal["FULL", "NORMAL"] = "FULL", deadline_s: float = 5.0) -> Engine:
    """The engine, with its database reached. Raises StorageError or OSError that say what to mend."""
    if url.startswith(POSTGRES):
        if not WELL_FORMED.fullmatch(url):  # libpq would take a piece of the password for the host, and say so
            raise StorageError(f"{shown(url)} is no database URL: in its password write % as %25, @ as %40, / as %2F")
        try:
            engine = PostgresEngine(url, deadline_s)
        except UnicodeDecodeError:
            raise StorageError(f"{shown(url)} is no database URL: what its % stand for is no UTF-8") from None
        except psycopg.ProgrammingError as error:
            why = str(error).replace(url, shown(url))
            raise StorageError(f"{shown(url)} is no database URL: {why}") from None
        try:
            await engine.reach()
        except StorageError as error:
            engine.close()
            raise StorageError(
                f"{shown(url)} cannot be reached: {error}. Check DATABASE_URL, and that PostgreSQL runs there."
            ) from None
        return engine
    path = sqlite_path(url)
    if path is None:
        raise StorageError(f"{shown(url)} is no database URL: write sqlite:///PATH or postgresql://...")
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteEngine(path, synchronous)


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite database, None for another engine's URL."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def shown(url: str) -> str:
    """The URL without its password and options, be it well formed or not."""
    if not url.startswith(POSTGRES):
        return url
    scheme, _, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    return f"{scheme}://{who.partition(':')[0]}{at}{where.partition('?')[0]}"
