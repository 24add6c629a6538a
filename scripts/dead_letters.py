"""`python -m scripts.dead_letters`: what came in on WhatsApp numbers, well signed, and could not be used, and what was
written there and refused by the provider.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from app.commands import Mendable, exit_code, run_async
from app.config import Settings
from app.core.dead_letters import DeadLetter, DeadLetterQuery
from app.core.errors import Problem
from app.main import open_storage
from app.storage import tenants
from app.storage.database import EVERY_TENANT, Database
from app.storage.engines import sqlite_path
from channels.bell import Bell
from channels.inbound.dead_letters import DeadLetters
from channels.inbound.keeping import NOBODY
from scripts.database_option import settings_with

HELP: Final = """\
Dead letters of numbers that nobody has connected, or with --tenant those of an organisation, which its owner sees
at /api/v1/dead-letters, too, or with --all everybody's. A letter that is replayed is sorted by a gateway that runs,
within a second; what was used meanwhile stays as it is. A message that was refused is not sent again from here.

  python -m scripts.dead_letters list
  python -m scripts.dead_letters list --all
  python -m scripts.dead_letters show 019a7c3e-...
  python -m scripts.dead_letters replay 019a7c3e-... --tenant Acme
"""


PAGE: Final = 200


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with what is wrong on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.dead_letters", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["list", "show", "replay"])
    parser.add_argument("letters", nargs="*", metavar="ID", help="to show or replay; as `list` prints them")
    parser.add_argument("--tenant", metavar="NAME", help="the organisation's name; those of nobody otherwise")
    parser.add_argument("--all", action="store_true", help="list those of all organisations and of nobody")
    parser.add_argument("--before", metavar="CURSOR", help="list on where the page before ended")
    parser.add_argument("--database", metavar="URL", help="instead of DATABASE_URL")
    options = parser.parse_args(arguments)
    if bool(options.letters) == (options.action == "list"):
        parser.error("list takes no ID" if options.letters else f"{options.action} needs an ID")
    if options.all and (options.tenant or options.action != "list"):
        parser.error("--all goes with list only, and without --tenant")
    return exit_code(lambda: run(settings_with(options.database), options))


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do it and print what came of it; returns the exit code."""

    async def work() -> int:
        path = sqlite_path(settings.database_url)
        if path is not None and not path.exists():
            raise Mendable(f"{path} does not exist; set DATABASE_URL, or use --database")
        async with open_storage(settings) as db:
            letters, tenant_id = DeadLetters(db, bell=Bell()), await _tenant(db, options.tenant)
            if options.all:
                await _list_all(letters, options.before)
            elif options.action == "list":
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
    page = await letters.page(tenant_id, DeadLetterQuery(limit=PAGE, before=before))
    _print([_line(letter) for letter in page.data], page.next_cursor)


async def _list_all(letters: DeadLetters, before: str | None) -> None:
    data, cursor = await letters.page_of_all(before, PAGE)
    _print([f"{_line(letter)}  ({name or 'nobody'})" for name, letter in data], cursor)


def _print(lines: list[str], cursor: str | None) -> None:
    for line in lines or ["no dead letters"]:
        print(line)
    if cursor:
        print(f"more: --before {cursor}")


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
    message = f", message {letter.message_id}" if letter.message_id else ""
    return f"{letter.id}  {letter.received_at}  {letter.provider} {account}: {letter.reason}{message}{replayed}"


if __name__ == "__main__":
    sys.exit(main())
