"""What the scaling section prints and writes: one row for each setup, and what one core bears by its costs."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

from scripts.bench.figures import Scaled, Setup, Spread, number, spread
from scripts.bench.report import table

LEGEND: Final = """\
Simulator, load, gateways and database share the cores of one machine, so calls/s say what this machine does with all of
them and not how far they scale. What scales are the costs of a call, and from them what a core of its own would bear.
  echo           the empty server, one process, asked in the same run: of echo = its CPU by call / the gateway's
  gateway CPU    processor time of all gateway processes; on SQLite the database's is part of it
  database CPU   PostgreSQL: processor time of all of the server's processes, ended ones too. SQLite: of a process that
                 does a call's two writes and nothing else, with as many calls under way (python -m scripts.ledger_cost)
  writer busy    time that the processes' writers spent in commits: statements, disk, network, waiting for one another
  writes/commit  how many went into one transaction; a call has two
  a gateway core, a database core: 1 s / that CPU time, in calls/s. One tenant is the worst case: its calls take turns.
Medians over the rounds, lowest and highest in parentheses."""
COLUMNS: Final[dict[str, str]] = {
    "calls/s": "per_s",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "gateway CPU us/call": "gateway_cpu_us",
    "database CPU us/call": "database_cpu_us",
    "writer busy us/call": "writer_busy_us",
    "writes/commit": "writes_per_commit",
}
BORNE: Final[dict[str, str]] = {"a gateway core": "gateway_cpu_us", "a database core": "database_cpu_us"}
_PROCESSES: Final = {"sqlite": "worker", "postgresql": "replica"}


def render(measures: Sequence[Scaled]) -> str:
    heading = ["database", "gateways", "tenants", *COLUMNS, "of echo", *BORNE, "errors"]
    rows = [_row(setup, same, measures) for setup, same in _by_setup(measures).items()]
    return f"Scaling: 20-token JSON answers\n\n{table(heading, rows)}\n\n{LEGEND}"


def progress(one: Scaled) -> str:
    """One line about one measurement."""
    cpu = "–" if one.gateway_cpu_us is None else number(one.gateway_cpu_us)
    name = "  ".join(_named(one.setup))
    errors = f"  {one.errors} ERRORS" if one.errors else ""
    return f"round {one.round}  {name:<30}  {number(one.per_s):>6} calls/s  {cpu} us/call{errors}"


def as_json(measures: Sequence[Scaled], about: dict[str, object]) -> bytes:
    """The run as one document: `about` it, the legend, every measurement."""
    document = {**about, "legend": LEGEND.splitlines(), "scaling": measures}
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _by_setup(measures: Sequence[Scaled]) -> dict[Setup, list[Scaled]]:
    """In the order in which they came first."""
    groups: dict[Setup, list[Scaled]] = {}
    for one in sorted(measures, key=attrgetter("round")):
        groups.setdefault(one.setup, []).append(one)
    return groups


def _row(setup: Setup, same: Sequence[Scaled], measures: Sequence[Scaled]) -> list[str]:
    figures = [spread(map(attrgetter(field), same)) for field in COLUMNS.values()]
    borne = [spread(_borne(attrgetter(field)(one)) for one in same) for field in BORNE.values()]
    shown = [*figures, of_echo(same, measures), *borne]
    errors = sum(one.errors for one in same)
    return [*_named(setup), *("–" if each is None else str(each) for each in shown), str(errors)]


def of_echo(same: Sequence[Scaled], measures: Sequence[Scaled]) -> Spread | None:
    """The share of echo's calls by processor time, taken within each round."""
    echo = {one.round: one.gateway_cpu_us for one in measures if one.setup.engine == "echo"}
    shares: list[float | None] = []
    for one in same:
        theirs, ours = echo.get(one.round), one.gateway_cpu_us
        if theirs and ours and one.setup.engine != "echo":
            shares.append(theirs / ours)
    return spread(shares)


def _borne(cost_us: float | None) -> float | None:
    return 1e6 / cost_us if cost_us else None


def _named(setup: Setup) -> list[str]:
    if setup.engine == "echo":
        return ["(echo)", "–", "–"]
    plural = "s" if setup.processes > 1 else ""
    return [setup.engine, f"{setup.processes} {_PROCESSES[setup.engine]}{plural}", str(setup.tenants)]
