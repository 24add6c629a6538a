"""One look at the gateways from outside: what the system and their own metrics pages say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scripts.bench.metrics_page import Samples
from scripts.bench.proc import resident_mb, session_stats
from scripts.soak.house import House
from scripts.soak.sockets import descriptors

#: Load before the pause, the pause, load after it, waiting for quiet, and the last look.
Phase = Literal["warm-up", "idle", "load", "quiet", "end"]
TASKS: Final = "callmissed_trio_tasks"
POOLED: Final = "callmissed_upstream_connections"
LAG: Final = "callmissed_loop_lag_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All gateway processes together; None is what could not be seen.

    `sockets` and `descriptors` are without connections, but for those that listen. `pooled` are the connections to
    providers that the gateways themselves know of, in use or kept for the next call. `unanswered` are messages to bots
    that have not come to an end yet, `unsent` replies that have not left.
    """

    at_s: float
    phase: Phase
    pids: tuple[int, ...]
    rss_mb: float
    threads: int
    descriptors: int
    sockets: int
    clients: int
    providers: int
    pooled: int | None
    databases: int
    tasks: int | None
    wal_mb: float | None
    lag_p99_ms: float | None
    open_holds: int
    at_once: int
    begun: int
    unanswered: int = 0
    unsent: int = 0


@dataclass(frozen=True, slots=True)
class Outside:
    """What `look` finds; the rest of a sample is known inside the soak."""

    pids: tuple[int, ...]
    rss_mb: float
    threads: int
    descriptors: int
    sockets: int
    clients: int
    providers: int
    pooled: int | None
    databases: int
    tasks: int | None
    wal_mb: float | None
    page: Samples | None


def look(house: House) -> Outside:
    """Takes milliseconds, and as long as the metrics pages take: for a thread."""
    stats = [stat for gateway in house.gateways for stat in session_stats(gateway.pid)]
    pids = tuple(stat.pid for stat in stats)
    opened = descriptors(pids, house.ports)
    page = house.metrics()
    wal = house.wal
    return Outside(
        pids=pids,
        rss_mb=resident_mb(stats),
        threads=sum(stat.threads for stat in stats),
        descriptors=opened.lasting,
        sockets=opened.sockets["other"],
        clients=opened.sockets["client"],
        providers=opened.sockets["provider"],
        pooled=None if page is None else int(page[POOLED]),
        databases=opened.sockets["database"],
        tasks=None if page is None else int(page[TASKS]),
        wal_mb=wal.stat().st_size / 1e6 if wal is not None and wal.exists() else None,
        page=page,
    )


def lag_p99_ms(before: Mapping[str, float] | None, after: Mapping[str, float] | None) -> float | None:
    """The bound of the bucket in which the 99th percentile of the lateness between two pages lies."""
    if before is None or after is None:
        return None
    start = f'{LAG}_bucket{{le="'
    grown = {
        float(name.removeprefix(start).removesuffix('"}')): value - before.get(name, 0.0)
        for name, value in after.items()
        if name.startswith(start)
    }
    total = max(grown.values(), default=0.0)
    return (
        min((bound * 1000 for bound, count in grown.items() if count >= 0.99 * total), default=None) if total else None
    )
