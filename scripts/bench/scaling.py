"""More processes, more tenants: calls a second, and what a call costs the gateway and its database.

No process is tied to a core, and no balancer stands between: the load is dealt out to the replicas' own ports.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from scripts.bench.figures import Engine, Scaled, Setup, milliseconds, percentile
from scripts.bench.fleet import Fleet, open_fleet
from scripts.bench.load import Load, run_load
from scripts.bench.proc import family_cpu_s
from scripts.bench.processes import BenchError, environment, open_system
from scripts.bench.questions import Door, request, short_body
from scripts.bench.run import WARM_S, Say
from scripts.bench.systems import ROOT, build, free_port, upstream
from scripts.bench.wrk import Aim, run_wrk
from scripts.clustering.postgres import Postgres, open_postgres

TOPOLOGIES: Final[tuple[tuple[Engine, int], ...]] = (
    *(("sqlite", 1), ("sqlite", 2)),
    *(("postgresql", 1), ("postgresql", 2), ("postgresql", 3)),
)
TENANTS: Final = (1, 50)
#: Connections with one call at a time: a number that one, two and three replicas share evenly.
LINES: Final = 48
COMMITS: Final = "callmissed_database_commit_seconds"
WRITES: Final = "callmissed_database_batch_jobs"


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """How long and how often each setup is measured; `wrk` is its path or None."""

    seconds: float
    rounds: int
    wrk: str | None
    topologies: Sequence[tuple[Engine, int]] = TOPOLOGIES


def run_scaling(plan: ScalingPlan, say: Say) -> Generator[Scaled]:
    """Each measurement as it is made. Close it to stop every system.

    Raises BenchError, OSError or CalledProcessError when a system does not start or does not live through it.
    """
    with TemporaryDirectory(prefix="gateway-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        say("starting upstream, echo and PostgreSQL")
        source = stack.enter_context(open_system(upstream(free_port()), folder, None)).door
        echo = stack.enter_context(open_system(build("echo", folder, source), folder, None))
        postgres = stack.enter_context(_open_postgres(folder)) if needs_postgres(plan) else None
        for turn in range(1, plan.rounds + 1):
            shooter = Shooter(plan, turn)
            own = _made(folder / f"{turn}-echo")
            yield shooter.measure(Setup("echo"), Fleet([echo], [echo.door.key], []), own, None)
            for engine, processes in plan.topologies if turn % 2 else plan.topologies[::-1]:
                own = _made(folder / f"{turn}-{engine}-{processes}")
                if postgres is None or engine == "sqlite":
                    url, cpu_s = f"sqlite:///{own / 'gateway.db'}", None
                else:
                    url, cpu_s = postgres.create(f"bench_{turn}_{processes}"), partial(family_cpu_s, postgres.pid)
                with open_fleet(engine, processes, max(TENANTS), url, source, own) as fleet:
                    _warm_up(fleet)
                    for tenants in TENANTS:
                        yield shooter.measure(Setup(engine, processes, tenants), fleet, own, cpu_s)


def needs_postgres(plan: ScalingPlan) -> bool:
    return any(engine == "postgresql" for engine, _ in plan.topologies)


@dataclass(frozen=True, slots=True)
class Shooter:
    """One round's measurements. `cpu_s` reads the database server's processor time; without one it is probed."""

    plan: ScalingPlan
    round: int

    def measure(self, setup: Setup, fleet: Fleet, folder: Path, cpu_s: Callable[[], float] | None) -> Scaled:
        keys = fleet.keys[: max(setup.tenants, 1)]
        gateway_before, shown = fleet.cpu_s_when_quiet(), fleet.metrics()
        database_before = cpu_s() if cpu_s else 0.0
        shot = self._shoot(fleet.doors, keys, folder)
        calls = max(shot.calls, 1)
        gateway_after, database_us = fleet.cpu_s_when_quiet(), None
        if cpu_s is not None:
            database_us = (cpu_s() - database_before) / calls * 1e6
        elif setup.engine == "sqlite":
            database_us = probe(folder, setup.tenants, LINES, self.plan.seconds)
        now = fleet.metrics()
        spent = {name: now[name] - shown[name] for name in (f"{COMMITS}_sum", f"{WRITES}_sum", f"{WRITES}_count")}
        commits = spent[f"{WRITES}_count"]
        return Scaled(
            setup=setup,
            round=self.round,
            calls=shot.calls,
            errors=shot.errors,
            per_s=shot.per_s,
            p50_ms=shot.p50_ms,
            p99_ms=shot.p99_ms,
            gateway_cpu_us=_each(gateway_before, gateway_after, calls),
            database_cpu_us=database_us,
            writer_busy_us=spent[f"{COMMITS}_sum"] / calls * 1e6 if commits else None,
            writes_per_commit=spent[f"{WRITES}_sum"] / commits if commits else None,
        )

    def _shoot(self, doors: Sequence[Door], keys: Sequence[str], folder: Path) -> Shot:
        seconds = self.plan.seconds
        if self.plan.wrk is None:
            tally = run_load(_load(doors, keys, seconds))
            p50, p99 = (milliseconds(percentile(tally.waits, share)) for share in (0.5, 0.99))
            return Shot(tally.calls, tally.errors, tally.calls / seconds, p50, p99)
        found = run_wrk(self.plan.wrk, folder, Aim(doors, keys), LINES, seconds)
        calls = found.answers - found.refused
        errors = found.refused + found.broken
        return Shot(calls, errors, calls / found.seconds, found.p50_us / 1000, found.p99_us / 1000)


@dataclass(frozen=True, slots=True)
class Shot:
    """What one load showed to those who called."""

    calls: int
    errors: int
    per_s: float
    p50_ms: float | None
    p99_ms: float | None


def probe(folder: Path, tenants: int, tasks: int, seconds: float) -> float:
    """Processor time of a call's two writes, by `scripts.ledger_cost` in a process that does nothing else, in us."""
    url = f"sqlite:///{folder / f'probe-{tenants}.db'}"
    options = {"database": url, "tenants": tenants, "tasks": tasks, "seconds": seconds}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "scripts.ledger_cost", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, env=environment({}))
    return float(msgspec.json.decode(done.stdout)["cpu_us"])


def _warm_up(fleet: Fleet) -> None:
    run_load(_load(fleet.doors, fleet.keys, WARM_S))


def _load(doors: Sequence[Door], keys: Sequence[str], seconds: float) -> Load:
    """From Python: each line's calls take turns with the keys."""
    requests = [request(replace(doors[0], key=key), short_body(doors[0])) for key in keys]

    def ask(line: int, turn: int) -> bytes:
        return requests[(line + turn) % len(requests)]

    return Load([door.port for door in doors], ask, LINES, seconds, streamed=False)


def _each(before: float | None, after: float | None, calls: int) -> float | None:
    """Microseconds for each call."""
    return None if before is None or after is None else (after - before) / calls * 1e6


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextmanager
def _open_postgres(folder: Path) -> Iterator[Postgres]:
    """Durable, as in production. Raises BenchError."""
    try:
        with open_postgres(folder / "postgres" / "data", durable=True) as server:
            yield server
    except ImportError as error:
        raise BenchError(f"PostgreSQL is not installed here ({error}); install the extra `dev`") from None
