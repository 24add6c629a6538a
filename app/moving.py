"""`python -m app migrate --from sqlite:///... --to postgresql://...`: the command around `app.storage.moving`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import replace
from typing import Final

import trio

from app.commands import Mendable
from app.config import Settings
from app.core.errors import first_error
from app.main import open_storage
from app.storage.engines import shown
from app.storage.moving import Line, Plan, Progress, Report, move, moved_before

INTERRUPTED: Final = 130
#: A terminal's line is written anew so often; a file gets a line more seldom.
LINE_S: Final = 0.1
FILE_LINE_S: Final = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `migrate` takes besides `--database`."""
    moving = parser.add_argument_group("moving a business from SQLite to PostgreSQL, while it runs")
    moving.add_argument("--from", dest="source", metavar="URL", help="sqlite:///PATH")
    moving.add_argument("--to", dest="target", metavar="URL", help="postgresql://USER:PASSWORD@HOST:PORT/NAME")
    moving.add_argument("--copy-only", action="store_true", help="rehearse: copy and verify, leave the source in use")
    moving.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="how long calls may take to end (default 60)"
    )
    moving.add_argument("--force", action="store_true", help="then go on: they end free of charge")


def is_move(parser: argparse.ArgumentParser, options: argparse.Namespace) -> bool:
    """Whether a move is meant; ends the program with the parser's message for options that do not go together."""
    if options.source is None and options.target is None:
        if options.copy_only or options.force:
            parser.error("--copy-only and --force go with --from and --to")
        return False
    if options.source is None or options.target is None:
        parser.error("--from and --to go together")
    if options.database is not None:
        parser.error("--database does not go with --from and --to")
    if options.recount:
        parser.error("--recount does not go with --from and --to")
    if options.copy_only and options.force:
        parser.error("--force does not go with --copy-only, which stops nothing")
    if not options.wait >= 0:
        parser.error(f"--wait: {options.wait} is not a number of seconds")
    return True


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Returns the exit code: 0, or 130 after Ctrl-C. Raises StorageError with what to do."""
    plan = Plan(options.source, options.target, options.copy_only, options.wait, options.force)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    printer = _Printer()
    try:
        where = moved_before(plan)
        if where is not None:
            return _moved_before(plan, where)
        trio.run(_migrate, replace(settings, database_url=plan.target))
        report = move(plan, printer.tell)
    except BaseException as error:
        if not isinstance(first_error(error), KeyboardInterrupt):
            raise
        printer.end()
        where = moved_before(plan)  # the interrupt may have come too late to change anything
        if where is not None:
            return _moved_before(plan, where)
        _say(f"Interrupted. The gateway goes on with {plan.source}; run the same command again to go on from here.")
        return INTERRUPTED
    finally:
        printer.end()
    _summarise(plan, report)
    return 0


async def _migrate(settings: Settings) -> None:
    async with open_storage(settings):
        pass


def _moved_before(plan: Plan, where: str) -> int:
    if not where.startswith(f"{shown(plan.target)} "):
        raise Mendable(f"{plan.source} has been moved before, and not to {shown(plan.target)} but to {where}.")
    _say(f"Done already: {plan.source} has been moved to {where}. Set DATABASE_URL to it.")
    return 0


class _Printer:
    """Progress as one line that is written over, or on anything but a terminal as a line every few seconds."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._next = 0.0
        self._width = 0

    def tell(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (LINE_S if self._terminal else FILE_LINE_S)
        if progress.total is None:
            text = f"waiting for {progress.done} {progress.what}"
        else:
            text = f"{progress.what}: {progress.done:,} of {progress.total:,} rows"
        if self._terminal:
            print(f"\r{text:<{self._width}}", end="", flush=True)  # noqa: T201 - a command speaks to its user
            self._width = len(text)
        else:
            _say(text)

    def end(self) -> None:
        """Leave the line that was written over."""
        if self._width:
            _say("")
            self._width = 0


def _summarise(plan: Plan, report: Report) -> None:
    names = max(len(line.table) for line in report.lines)
    counts = max(len(f"{line.rows:,}") for line in report.lines)
    _say("The same on both sides, row by row (sums in credits):")
    for line in report.lines:
        _say(f"  {line.table:<{names}}  {line.rows:>{counts},}  {_sums(line)}".rstrip())
    for warning in report.warnings:
        _say(f"Warning: {warning}")
    if plan.copy_only:
        _say(f"A rehearsal: {plan.source} is in use as before, and has gone on since.")
        _say(f"To move now, no call could begin for {report.stopped_s:.1f} s and until those that run have ended.")
        return
    if report.held:
        _say(f"{report.held} calls were still open: they end free of charge, in PostgreSQL when their holds expire.")
    _say(f"{plan.source} is closed for good; no call could begin for {report.stopped_s:.1f} s before that.")
    _say(f"Now start the gateway with DATABASE_URL={shown(plan.target)} (and its password) and the same SECRET_KEY.")


def _sums(line: Line) -> str:
    return "  ".join(f"{column} {ucr / 1e6:,.6f}" for column, ucr in line.sums.items())


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command speaks to its user
