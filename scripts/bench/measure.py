"""One point: a load on a running system, and what it cost the system."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.bench.figures import Kind, Measure, milliseconds, percentile
from scripts.bench.load import Load, Tally, run_load
from scripts.bench.proc import Usage
from scripts.bench.processes import Running
from scripts.bench.questions import Door, request, short_body, stream_body
from scripts.bench.wrk import Aim, run_wrk


@dataclass(frozen=True, slots=True)
class Point:
    """Where in the plan of the run a measurement stands."""

    kind: Kind
    load: int
    round: int


@dataclass(frozen=True, slots=True)
class Rig:
    """`wrk` is its path, or None for the generator in Python; `folder` takes its script."""

    seconds: float
    folder: Path
    wrk: str | None


def measure(system: Running, point: Point, rig: Rig) -> tuple[Measure, str | None]:
    """The figures, and the first error in words. Raises OSError when the system takes no connection."""
    before = system.usage()
    if point.kind == "json" and rig.wrk is not None:
        return _with_wrk(rig.wrk, system, point, rig, before), None
    load = (_short if point.kind == "json" else _streams)(system.door, point.load, rig.seconds)
    tally = run_load(load)
    return _of_tally(system, point, rig, tally, before), tally.first_error


def warm_up(system: Running, kind: Kind, seconds: float) -> None:
    """Calls that are not measured: imports, caches and pools are as they are after a minute of work."""
    run_load((_short if kind == "json" else _streams)(system.door, 16, seconds))


def _short(door: Door, lines: int, seconds: float) -> Load:
    payload = request(door, short_body(door))
    return Load((door.port,), lambda _line, _turn: payload, lines, seconds, streamed=False)


def _streams(door: Door, lines: int, seconds: float) -> Load:
    return Load((door.port,), partial(_stream_request, door), lines, seconds, streamed=True)


def _stream_request(door: Door, line: int, turn: int) -> bytes:
    return request(door, stream_body(door, line, turn))


def _with_wrk(wrk: str, system: Running, point: Point, rig: Rig, before: Usage | None) -> Measure:
    result = run_wrk(wrk, rig.folder, Aim.at(system.door), point.load, rig.seconds)
    calls = result.answers - result.refused
    return Measure(
        system=system.name,
        kind=point.kind,
        load=point.load,
        round=point.round,
        calls=calls,
        errors=result.refused + result.broken,
        per_s=calls / result.seconds,
        p50_ms=result.p50_us / 1000,
        p99_ms=result.p99_us / 1000,
        **_cost(system, before, calls),
    )


def _of_tally(system: Running, point: Point, rig: Rig, tally: Tally, before: Usage | None) -> Measure:
    streamed = point.kind == "streams"
    return Measure(
        system=system.name,
        kind=point.kind,
        load=point.load,
        round=point.round,
        calls=tally.calls,
        errors=tally.errors,
        per_s=(tally.tokens_in_time if streamed else tally.calls) / rig.seconds,
        p50_ms=milliseconds(percentile(tally.waits, 0.5)),
        p99_ms=milliseconds(percentile(tally.waits, 0.99)),
        burst_p50_ms=milliseconds(percentile(tally.burst_waits, 0.5)),
        gap_p50_ms=milliseconds(percentile(tally.gaps, 0.5)),
        gap_p99_ms=milliseconds(percentile(tally.gaps, 0.99)),
        **_cost(system, before, tally.tokens if streamed else tally.calls),
    )


def _cost(system: Running, before: Usage | None, units: int) -> dict[str, float]:
    """The system's own CPU for each unit since `before`, and what it holds in memory when it is quiet again."""
    after = system.usage_when_quiet()
    if before is None or after is None:
        return {}
    cost = {"rss_mb": after.rss_mb}
    return cost | {"cpu_us": (after.cpu_s - before.cpu_s) / units * 1e6} if units else cost
