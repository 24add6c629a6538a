"""The command line: python -m scripts.soak."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
import trio

from scripts.bench.machine import describe
from scripts.bench.processes import BenchError
from scripts.bench.systems import ROOT
from scripts.soak.gates import failed
from scripts.soak.house import Layout, open_house
from scripts.soak.picture import svg
from scripts.soak.plan import SoakPlan
from scripts.soak.report import Result, as_json, render, title
from scripts.soak.run import soak

DESCRIPTION: Final = """\
Runs gateways under a crowd with bad manners and looks whether anything is left when it has gone.

The crowd: streams and JSON, ten models, 30 % hang up at a random byte, 5 % stop reading, providers that fail on cue in
every way they can. Phones write to a WhatsApp bot meanwhile, and every tenth webhook comes twice. Every fifth of the
run (at most an hour apart) all providers go away and come back.
After three tenths of the run (at most an hour) all of them pause: what is there then is what the end is held against.

Gates: memory at the end and its slope, sockets, descriptors, threads and tasks, connections, open holds, the books of
every tenant, every call against the ledger and against the provider's book, no error that nothing explains; every
message to the bot kept once and brought to an end, every reply on its phone once.
Exit code 0 when all hold, 1 when one is broken, 130 after Ctrl-C, which judges the part that was run.

  python -m scripts.soak                                   ten minutes, one process, SQLite
  python -m scripts.soak --minutes 1440 --rate 30          a day; the ledger takes about 0.2 GB an hour at that rate
  python -m scripts.soak --replicas 2                      two processes over a PostgreSQL that is started for it
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parse(arguments)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    layout = Layout(options.workers, options.replicas, options.database or "")
    about = describe(ROOT)
    try:
        with TemporaryDirectory(prefix="gateway-soak-") as folder, open_house(layout, Path(folder)) as house:
            result = trio.run(soak, house, SoakPlan(options.minutes, options.rate, options.messages), _say)
    except KeyboardInterrupt:
        _say("interrupted before the first call")
        return 130
    except (BenchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return _tell(result, layout, about, options.report)


def _tell(result: Result, layout: Layout, about: dict[str, object], report: Path) -> int:
    print(render(result))
    engine = "PostgreSQL" if layout.replicas > 1 or layout.database_url.startswith("postgres") else "SQLite"
    words = [f"{layout.processes} process{'es' if layout.processes > 1 else ''}", engine]
    report.mkdir(parents=True, exist_ok=True)
    (report / "soak.json").write_bytes(as_json(result, {**about, "setup": words}))
    (report / "soak.svg").write_text(svg(result.samples, result.outages, title(result, words)), encoding="utf-8")
    print(f"\nWritten: {report / 'soak.json'}, {report / 'soak.svg'}")
    if failed(result.gates):
        return 1
    return 130 if result.interrupted else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.soak", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default %(default)g; a day is 1440)")
    parser.add_argument("--rate", type=float, default=60.0, help="calls a second (default %(default)g)")
    parser.add_argument("--messages", type=float, default=4.0, help="by WhatsApp a second (default %(default)g)")
    parser.add_argument("--database", metavar="URL", help="an empty one, instead of one made for the run")
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--workers", type=int, default=1, metavar="N", help="processes on one port")
    many.add_argument("--replicas", type=int, default=1, metavar="N", help="processes on a port each, over PostgreSQL")
    parser.add_argument("--report", type=Path, default=Path(), metavar="DIR", help="for soak.json and soak.svg")
    options = parser.parse_args(arguments)
    if min(options.minutes, options.rate) <= 0 or options.messages < 0 or min(options.workers, options.replicas) < 1:
        parser.error("--minutes and --rate are more than 0, --messages not less, --workers and --replicas at least 1")
    return options


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
