"""`python -m scripts.dead_letters`: what came in on WhatsApp numbers, well signed, and could not be used."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from app.commands import Mendable, run_async
from app.config import ConfigError, Settings
from app.core.dead_letters import DeadLetter, DeadLetterQuery
from app.core.errors import Problem
from app.main import open_storage
from app.storage import tenants
from app.storage.database import EVERY_TENANT, Database
from app.storage.engines import sqlite_path
from channels.bell import Bell
from channels.inbound.dead_letters import DeadLetters
from channels.inbound.keeping import NOBODY

HELP: Final = """\
Dead letters of numbers that nobody has connected, or with --tenant those of an organisation, which its owner sees
at /api/v1/dead-letters, too. A letter that is replayed is sorted by a gateway that runs, within a second; what was
used meanwhile stays as it is.

  python -m scripts.dead_letters list
  python -m scripts.dead_letters show 019a7c3e-...
  python -m scripts.dead_letters replay 019a7c3e-... --tenant Acme
"""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with what is wrong on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.dead_letters", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["list", "show", "replay"])
    parser.add_argument("letters", nargs="*", metavar="ID", help="to show or replay; as `list` prints them")
    parser.add_argument("--tenant", metavar="NAME", help="the organisation's name; those of nobody otherwise")
    parser.add_argument("--before", metavar="CURSOR", help="list on where the page before ended")
    parser.add_argument("--database", metavar="URL", help="instead of DATABASE_URL")
    options = parser.parse_args(arguments)
    if bool(options.letters) == (options.action == "list"):
        parser.error("list takes no ID" if options.letters else f"{options.action} needs an ID")
    given = {"DATABASE_URL": options.database} if options.database else {}
    try:
        settings = Settings.from_environment({**os.environ, **given})
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return run(settings, options)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do it and print what came of it; returns the exit code."""

    async def work() -> int:
        path = sqlite_path(settings.database_url)
        if path is not None and not path.exists():
            raise Mendable(f"{path} does not exist; set DATABASE_URL, or use --database")
        async with open_storage(settings) as db:
            letters, tenant_id = DeadLetters(db, bell=Bell()), await _tenant(db, options.tenant)
            if options.action == "list":
                await _list(letters, tenant_id, options.before)
            for letter_id in options.letters:
                await _act(letters, tenant_id, options.action, letter_id)
        return 0

    return run_async(work)


async def _tenant(db: Database, name: str | None) -> str:
    if name is None:
        return NOBODY
    found = await db.read(EVERY_TENANT, lambda t: tenants.find_tenant(t, name))
    if found is None:
        raise Mendable(f"there is no organisation called {name!r}")
    return found


async def _list(letters: DeadLetters, tenant_id: str, before: str | None) -> None:
    page = await letters.page(tenant_id, DeadLetterQuery(limit=200, before=before))
    for letter in page.data:
        print(_line(letter))
    if not page.data:
        print("no dead letters")
    if page.next_cursor:
        print(f"more: --before {page.next_cursor}")


async def _act(letters: DeadLetters, tenant_id: str, action: str, letter_id: str) -> None:
    try:
        if action == "show":
            found = await letters.find(tenant_id, letter_id)
            print(_line(found))
            print(found.body)
        else:
            await letters.replay(tenant_id, letter_id)
            print(f"{letter_id}: will be sorted")
    except Problem as problem:
        raise Mendable(f"{letter_id}: {problem.message}") from None


def _line(letter: DeadLetter) -> str:
    replayed = f", replayed {letter.replayed_at}" if letter.replayed_at else ""
    account = letter.account or "no number"
    return f"{letter.id}  {letter.received_at}  {letter.provider} {account}: {letter.reason}{replayed}"


if __name__ == "__main__":
    sys.exit(main())
