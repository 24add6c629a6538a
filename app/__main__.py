"""The command line: `python -m app serve | migrate | seed | doctor | chat`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import trio

from app import doctor, moving
from app.commands import configure_log, exit_code, tune_interpreter
from app.config import FIELDS, ConfigError, Secret, Settings
from app.main import open_storage, run_until_signal
from app.storage.engines import shown
from app.storage.recount import recount_all
from app.worker import Place, run_worker
from app.workers import run_workers, worker_count
from scripts import chat, seed_catalog, seed_tenants

DESCRIPTION = """\
CallMissed gateway. Settings come from environment variables:

{settings}

Start everything for a first try with ./scripts/run instead.
"""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with one clear message on standard error."""
    options = _parser().parse_args(arguments)

    def run() -> int:
        settings = Settings.from_environment(_environment(options))
        configure_log(settings.log_level)
        command: Callable[[Settings, argparse.Namespace], int] = options.command
        return command(settings, options)

    return exit_code(run)


def serve(settings: Settings, options: argparse.Namespace) -> int:
    if not settings.secret_key:
        raise ConfigError(["SECRET_KEY: not set; make one with `openssl rand -hex 32` and keep it"])
    tune_interpreter()
    if options.worker:
        trio.run(run_worker, settings, Place(*options.worker))
    elif options.workers > 1:
        trio.run(run_workers, settings, options.workers)
    else:
        trio.run(run_until_signal, settings)
    return 0


def migrate(settings: Settings, options: argparse.Namespace) -> int:
    if moving.is_move(options.parser, options):
        return moving.run(settings, options)

    async def run() -> int:
        async with open_storage(settings) as db:
            return await recount_all(db) if options.recount else 0

    corrected = trio.run(run)
    print(f"{shown(settings.database_url)} is up to date.")
    if options.recount:
        print(f"Counted anew: {corrected} sums by day were wrong and are right now.")
    return 0


def seed(settings: Settings, options: argparse.Namespace) -> int:
    code = seed_catalog.run(settings, dry_run=options.dry_run)
    if code == 0 and options.tenants:
        code = seed_tenants.run(settings, Path(options.tenants), dry_run=options.dry_run)
    return code


def check(settings: Settings, _options: argparse.Namespace) -> int:
    return trio.run(doctor.run, settings)


def talk(_settings: Settings, options: argparse.Namespace) -> int:
    return chat.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description=DESCRIPTION.format(settings="\n".join(_setting_lines())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("serve", serve, "serve the gateway until SIGINT or SIGTERM"),
        ("migrate", migrate, "bring the database up to date, or move everything in it to PostgreSQL"),
        ("seed", seed, "write the catalog, and tenants from a file, to the database"),
        ("doctor", check, "check configuration and reachability and say what to fix"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=run)
        command.add_argument("--database", help="instead of DATABASE_URL")
        if name == "serve":
            command.add_argument("--host", help="instead of HOST")
            command.add_argument("--port", help="instead of PORT")
            command.add_argument("--certfile", help="TLS certificate chain (PEM)")
            command.add_argument("--keyfile", help="TLS private key (PEM)")
            command.add_argument("--workers", type=worker_count, default=1, metavar="N", help="processes (default 1)")
            command.add_argument("--worker", nargs=3, type=int, help=argparse.SUPPRESS)  # what a worker is started with
        if name == "migrate":
            command.add_argument(
                "--recount", action="store_true", help="then add up anew what a gateway of an older version left out"
            )
            moving.add_arguments(command)
            command.set_defaults(parser=command)
        if name == "seed":
            command.add_argument("--tenants", metavar="FILE", help="file of tenants, members, keys and grants")
            command.add_argument("--dry-run", action="store_true", help="say what would change and change nothing")
    command = commands.add_parser("chat", help="write to a WhatsApp bot from this terminal, without a phone")
    command.set_defaults(command=talk)
    chat.add_arguments(command)
    return parser


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """The environment with the command line's own words over it."""
    given = {
        "DATABASE_URL": getattr(options, "database", None),
        "HOST": getattr(options, "host", None),
        "PORT": getattr(options, "port", None),
        "CERTFILE": getattr(options, "certfile", None),
        "KEYFILE": getattr(options, "keyfile", None),
    }
    return {**os.environ, **{name: text for name, text in given.items() if text is not None}}


def _setting_lines() -> list[str]:
    lines = []
    for name, default, doc in FIELDS:
        shown = "" if isinstance(default, Secret) or default == "" else f" [{default}]"
        lines.append(f"  {name:<22} {doc}{shown}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
