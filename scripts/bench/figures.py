"""What a measurement is, and the statistics over several of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

Kind = Literal["json", "streams"]
System = Literal["upstream", "echo", "gateway", "litellm"]
Engine = Literal["sqlite", "postgresql"]

#: JSON: connections, each with one call at a time. Streams: streams open at once.
LOADS: Final[dict[Kind, tuple[int, ...]]] = {"json": (1, 16, 64), "streams": (25, 100, 200)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One system at one load in one round; None is what could not be measured.

    JSON: `per_s` counts answers, latency is the whole answer's, `cpu_us` is the system's own for each call. Streams:
    `per_s` counts tokens, latency is the time to the first token, `cpu_us` is for each token; `burst_p50_ms` is the
    median first token of the calls that begin all at once; gaps lie between a call's tokens.
    """

    system: System
    kind: Kind
    load: int
    round: int
    calls: int
    errors: int
    per_s: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_us: float | None = None
    rss_mb: float | None = None
    burst_p50_ms: float | None = None
    gap_p50_ms: float | None = None
    gap_p99_ms: float | None = None


@dataclass(frozen=True, slots=True, order=True)
class Setup:
    """So many gateway processes over one database, called by so many tenants; `echo` has no database and no tenants."""

    engine: Engine | Literal["echo"]
    processes: int = 1
    tenants: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One setup under load in one round; None is what could not be measured.

    Costs are for each call: `gateway_cpu_us` of all gateway processes, `database_cpu_us` as the report's legend says,
    `writer_busy_us` the time that writers spent in commits, waiting for the disk and for each other included.
    """

    setup: Setup
    round: int
    calls: int
    errors: int
    per_s: float
    p50_ms: float | None
    p99_ms: float | None
    gateway_cpu_us: float | None = None
    database_cpu_us: float | None = None
    writer_busy_us: float | None = None
    writes_per_commit: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """The rounds of one figure."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)}–{number(self.high)})"


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of all do not exceed (nearest rank); None without values."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def spread(values: Iterable[float | None]) -> Spread | None:
    """Over the values that were measured; None without any."""
    known = [value for value in values if value is not None]
    return Spread(median(known), min(known), max(known)) if known else None


def number(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value == 0:
        return "0"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{digits}f}"
