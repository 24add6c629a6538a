"""`python -m scripts.fill`: a database as full as a busy organisation's after three months, for measuring."""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from app.commands import Mendable, exit_code
from app.config import Settings
from app.core.identity import now_us
from app.main import open_storage
from app.storage import ledger
from app.storage.database import EVERY_TENANT
from app.storage.engines import shown
from app.usecases import models
from catalog.catalog import Catalog
from scripts.database_option import settings_with
from scripts.filling.business import NAME, fill, make_owner
from scripts.filling.sink import Sink, open_sink

HELP: Final = """\
Adds one organisation with so many calls, nearly as many charges, and as many conversations, messages and webhook
deliveries, spread over 90 days, and neighbours with a hundredth of that. Their books balance. A million of each take
some minutes and 5 GB.
"""
NEIGHBOURS: Final = 3
NO_SECRET: Final = "a secret of no gateway"  # noqa: S105 - its keys open nothing


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 for a database with organisations that are not to be mixed with these."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.fill", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each kind (default %(default)s)")
    parser.add_argument("--database-url", metavar="URL", help="instead of DATABASE_URL")
    parser.add_argument("--yes", action="store_true", help="even beside organisations that were not made by this")
    options = parser.parse_args(arguments)
    if options.rows < 1:
        parser.error("--rows is at least 1")
    return exit_code(partial(_run, options))


def _run(options: argparse.Namespace) -> int:
    settings = settings_with(options.database_url)
    trio.run(_prepare, settings)
    began = time.monotonic()
    with open_sink(settings.database_url) as sink:
        if not options.yes:
            _refuse_strangers(sink, settings.database_url)
        run = secrets.token_hex(3)
        for number in range(NEIGHBOURS):
            _add(sink, f"{NAME}{run} neighbour {number + 1}", max(1, options.rows // 100), settings.secret_key)
        _add(sink, f"{NAME}{run}", options.rows, settings.secret_key)
        sink.analyse()
    print(f"filled in {time.monotonic() - began:.0f} s")
    return 0


async def _prepare(settings: Settings) -> None:
    """Schema and catalog, so that a gateway can be started on it."""
    async with open_storage(settings) as db:
        await db.write(EVERY_TENANT, lambda view: models.seed(view, Catalog.load()))


def _refuse_strangers(sink: Sink, database_url: str) -> None:
    row = sink.db.one("SELECT name FROM tenants WHERE name NOT LIKE ? ORDER BY name LIMIT 1", f"{NAME}%")
    if row is not None:
        raise Mendable(f"{shown(database_url)} is somebody's: it has {row[0]!r}. Take an empty one, or add --yes.")


def _add(sink: Sink, name: str, count: int, secret: str) -> None:
    """One organisation."""
    sink.begin()
    owner = make_owner(sink.db, name, secret or NO_SECRET, now_us())
    sink.commit()
    fill(sink, owner, count, random.Random(name), partial(_tell, name, count))  # noqa: S311 - nothing to guess
    if ledger.is_broken(sink.db, owner.tenant_id):
        raise RuntimeError(f"the books of {name} do not balance")
    print(f"\r{name}: {count} of each", " " * 30, flush=True)


def _tell(name: str, count: int, table: str, done: int) -> None:
    print(f"\r{name}: {table} {done} of {count}", " " * 20, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
