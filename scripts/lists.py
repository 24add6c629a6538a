"""`python -m scripts.lists`: how long each list of the platform API takes to answer, on a database that is full."""

from __future__ import annotations

import argparse
import math
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Final, NamedTuple

import trio

from app.commands import Mendable, exit_code
from app.core.identity import now_us
from app.core.times import DAY_US, iso_time
from scripts.bench.figures import percentile
from scripts.database_option import settings_with
from scripts.listing.asks import Ask, List, filters_of, lists_of, pages_of, pairs_of
from scripts.listing.gateway import Browser, log_in, open_gateway

HELP: Final = """\
Starts a gateway on a database that `python -m scripts.fill` has filled, logs in as the owner of the largest
organisation, and asks for every list under /api/v1: its first page, its largest, one from the middle of the three
months, the deepest by offset, each filter alone and each two together. One connection, one request at a time.
"""
BASE: Final = "/api/v1"
MIDDLE_DAYS: Final = 20
WARM_UP: Final = 5
BUDGET_MS: Final = 20.0


class Timed(NamedTuple):
    """One line of the table; times in milliseconds."""

    path: str
    what: str
    rows: int
    p50: float
    p99: float
    worst: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 when every list keeps to the budget at p99, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.lists", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database-url", metavar="URL", help="instead of DATABASE_URL")
    parser.add_argument("--asks", type=int, default=200, help="requests for each line (default %(default)s)")
    parser.add_argument("--only", metavar="TEXT", default="", help="lists whose path contains this")
    options = parser.parse_args(arguments)
    if options.asks < 1:
        parser.error("--asks is at least 1")
    return exit_code(partial(_run, options))


def _run(options: argparse.Namespace) -> int:
    settings = settings_with(options.database_url, SECRET_KEY=secrets.token_hex(16), HOST="127.0.0.1")
    token = trio.run(log_in, settings)
    over = 0
    with open_gateway(settings) as port, closing(Browser(port, token)) as browser:
        document, _ = browser.get("/openapi.json")
        print(f"{'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'rows':>5}  list")
        for one in lists_of(document, BASE):
            if options.only in one.path:
                for timed in _measure(browser, one, options.asks):
                    over += timed.p99 > BUDGET_MS
                    figures = f"{timed.p50:8.1f} {timed.p99:8.1f} {timed.worst:8.1f} {timed.rows:5}"
                    print(f"{figures}  {timed.path}  {timed.what}", flush=True)
    print(f"{over} lines are over {BUDGET_MS:.0f} ms at p99")
    return 1 if over else 0


def _measure(browser: Browser, one: List, asks: int) -> Iterator[Timed]:
    """Every line of one list; of pairs only the slowest."""
    path = _filled(browser, one.path)
    middle = iso_time(now_us() - MIDDLE_DAYS * DAY_US)
    page, _ = browser.get(path)
    filters = filters_of(one, page["data"], middle)
    for ask in [*pages_of(one, middle), *filters]:
        yield _time(browser, path, ask, asks)
    pairs = [_time(browser, path, ask, asks) for ask in pairs_of(filters)]
    if pairs:
        slowest = max(pairs, key=lambda timed: timed.p99)
        yield slowest._replace(what=f"slowest of {len(pairs)} pairs: {slowest.what}")


def _time(browser: Browser, path: str, ask: Ask, asks: int) -> Timed:
    """One line; an answer that is none is later than any."""
    try:
        answers = [browser.get(path + ask.suffix) for _ in range(WARM_UP + asks)][WARM_UP:]
    except Mendable as error:
        return Timed(path, f"{ask.what}: {error}", 0, math.inf, math.inf, math.inf)
    took_ms = [took_s * 1000 for _, took_s in answers]
    p50, p99 = (percentile(took_ms, share) or 0.0 for share in (0.5, 0.99))
    rows = len(answers[-1][0]["data"])
    return Timed(path, ask.what, rows, p50, p99, max(took_ms))


def _filled(browser: Browser, path: str) -> str:
    """The path with its variables filled: by the first row of the list before each."""
    while found := re.search(r"/\{\w+\}", path):
        page, _ = browser.get(path[: found.start()])
        path = f"{path[: found.start()]}/{page['data'][0]['id']}{path[found.end() :]}"
    return path


if __name__ == "__main__":
    sys.exit(main())
