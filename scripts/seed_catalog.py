"""`python -m scripts.seed_catalog`: check catalog/*.toml and write it to the database in one transaction."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from app.commands import exit_code, run_async
from app.config import Settings
from app.storage.catalog import Changes
from app.usecases import models
from catalog.catalog import PACKAGE, Catalog
from scripts.database_option import settings_with
from scripts.seeding.target import Target, open_target

DESCRIPTION = """\
Checks models.toml, rates.toml and plans.toml and makes the catalog in the database equal to them, in one transaction.
Running gateways take it over within two seconds. Prints what changed; a second run changes nothing.
"""
NAMES = {"model": "models", "plan": "plans", "rates": "rates"}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with every fault on standard error."""
    parser = argparse.ArgumentParser(prog="python -m scripts.seed_catalog", description=DESCRIPTION)
    parser.add_argument("--database", metavar="URL", help="instead of DATABASE_URL")
    parser.add_argument("--catalog", metavar="DIR", type=Path, help="where the three files are (default: catalog/)")
    parser.add_argument("--dry-run", action="store_true", help="say what would change and change nothing")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(settings_with(options.database), dry_run=options.dry_run, directory=options.catalog))


def run(settings: Settings, *, dry_run: bool, directory: Path | None = None) -> int:
    """Seed the catalog of `directory` (the checkout's own when None) and print what changed; returns the exit code."""

    async def work() -> int:
        catalog = Catalog.load(directory or PACKAGE)
        async with open_target(settings, dry_run=dry_run) as target:
            changes = await seed_catalog(target, catalog)
        for line in report(changes, dry_run=dry_run):
            print(line)
        return 0

    return run_async(work)


async def seed_catalog(target: Target, catalog: Catalog) -> dict[str, Changes]:
    """Write `catalog` in one transaction; returns what changed by kind. Raises Problem when the database is away."""
    return await target.write(lambda transaction: models.seed(transaction, catalog))


def report(changes: Mapping[str, Changes], *, dry_run: bool) -> list[str]:
    """One line for each kind and sort of change, with the ids."""
    would = "would be " if dry_run else ""
    lines = []
    for kind, each in changes.items():
        for verb, ids in (("added", each.added), ("changed", each.changed), ("removed", each.removed)):
            if ids:
                lines.append(f"{NAMES[kind]} {would}{verb} ({len(ids)}): {', '.join(ids)}")
    return lines or ["catalog: nothing would change" if dry_run else "catalog: nothing changed"]


if __name__ == "__main__":
    sys.exit(main())
