"""What must be true of a soak, each with its bound. Pure: samples and counts in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import linear_regression
from typing import Final

from scripts.bench.figures import number
from scripts.soak.phones import Talk
from scripts.soak.samples import Sample
from scripts.soak.verdicts import BROKEN, OWN_FAULT, UNANSWERED, UNEXPLAINED

RSS_SHARE: Final = 1.10
SLOPE_MB_PER_MIN: Final = 1.0
#: What a line through a short run may rise by all the same.
LEAST_RISE_MB: Final = 5.0
#: So few samples make no line.
LEAST_SAMPLES: Final = 5
#: A writer and the readers of one process.
DATABASE_CONNECTIONS: Final = 5
#: What is counted in the pause after the warm-up and again at the end.
SAME: Final = {
    "sockets": "sockets, but for connections",
    "descriptors": "file descriptors, but for connections",
    "threads": "threads",
    "tasks": "Trio tasks",
}


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition; `holds` is None where the run was too short to judge, or the figure could not be had."""

    name: str
    bound: str
    value: str
    holds: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted besides the samples; `pids` are those of the gateways' processes at the start."""

    wrong: Mapping[str, int]
    broken_tenants: int | None
    looked: int
    priced: int
    differences: int
    pids: frozenset[int]
    talk: Talk | None = None
    refused_webhooks: int = 0


def judge(samples: Sequence[Sample], counts: Counts) -> list[Gate]:
    idle = next((sample for sample in reversed(samples) if sample.phase == "idle"), None)
    end = next((sample for sample in reversed(samples) if sample.phase == "end"), None)
    return [
        *_memory(samples, idle, end),
        *_leftovers(idle, end, counts),
        *_books(end, counts),
        *_talk(end, counts),
        *(_none(name, counts.wrong.get(name, 0)) for name in (OWN_FAULT, UNEXPLAINED, BROKEN, UNANSWERED)),
    ]


def failed(gates: Sequence[Gate]) -> bool:
    return any(gate.holds is False for gate in gates)


def _memory(samples: Sequence[Sample], idle: Sample | None, end: Sample | None) -> Iterator[Gate]:
    name = "RSS at the end, MB"
    bound = None if idle is None else idle.rss_mb * RSS_SHARE
    shown = "that after the warm-up + 10 %" if bound is None else f"<= {number(bound)} (after the warm-up + 10 %)"
    yield _at_most(name, shown, None if end is None else end.rss_mb, bound)
    load = [sample for sample in samples if sample.phase == "load"]
    name = "RSS slope under load, MB/min"
    if idle is None or len(load) < LEAST_SAMPLES:
        yield Gate(name, f"< {SLOPE_MB_PER_MIN:g}", "–", None)
        return
    slope, minutes = rss_slope(load), (load[-1].at_s - load[0].at_s) / 60
    bound = most_rise_mb(minutes, idle.rss_mb) / minutes
    yield Gate(name, f"< {number(bound)} over {number(minutes)} min", f"{slope:.3g}", slope < bound)


def rss_slope(samples: Sequence[Sample]) -> float:
    """MB a minute of the straight line through these samples."""
    slope, _ = linear_regression([sample.at_s / 60 for sample in samples], [sample.rss_mb for sample in samples])
    return slope


def most_rise_mb(minutes: float, rss_mb: float) -> float:
    """1 MB a minute; at least 5 MB, which is noise; at most a tenth of what there was, however long it ran."""
    return min(max(SLOPE_MB_PER_MIN * minutes, LEAST_RISE_MB), rss_mb * (RSS_SHARE - 1))


def _leftovers(idle: Sample | None, end: Sample | None, counts: Counts) -> Iterator[Gate]:
    ended = None if end is None else len(counts.pids - set(end.pids))
    yield _at_most("gateway processes that ended", f"= 0 of {len(counts.pids)}", ended, 0)
    for field, name in SAME.items():
        before, after = (None if sample is None else attrgetter(field)(sample) for sample in (idle, end))
        yield _at_most(f"{name} at the end", f"<= {_shown(before)} (in the pause)", after, before)
    yield _at_most("connections of clients at the end", "= 0", None if end is None else end.clients, 0)
    strays = None if end is None or end.pooled is None else max(end.providers - end.pooled, 0)
    kept = "" if end is None else f" of {end.providers}"
    yield _at_most("connections to providers that no pool knows", f"= 0{kept}", strays, 0)
    most, databases = DATABASE_CONNECTIONS * len(counts.pids), None if end is None else end.databases
    yield _at_most("connections to the database", f"<= {most} (5 a process)", databases, most)


def _books(end: Sample | None, counts: Counts) -> Iterator[Gate]:
    yield _at_most("open holds at the end", "= 0", None if end is None else end.open_holds, 0)
    yield _at_most("tenants whose books do not balance", "= 0", counts.broken_tenants, 0)
    bound = f"= 0 of {counts.looked:,} calls ({counts.priced:,} by the provider's book)"
    holds = counts.differences == 0 if counts.looked else None
    yield Gate("differences between ledger, clients, provider", bound, str(counts.differences), holds)


def _talk(end: Sample | None, counts: Counts) -> Iterator[Gate]:
    yield _at_most("messages to the bot without an end", "= 0", None if end is None else end.unanswered, 0)
    yield _at_most("replies of the bot that did not leave", "= 0", None if end is None else end.unsent, 0)
    yield _at_most("webhooks that were refused", "= 0", counts.refused_webhooks, 0)
    talk = counts.talk
    bound = "= 0" if talk is None else f"= 0 of {talk.messages:,} messages and {talk.replies:,} replies"
    yield _at_most("messages and replies lost or twice", bound, None if talk is None else sum(talk.wrong.values()), 0)


def _none(name: str, count: int) -> Gate:
    return Gate(f"answers: {name}", "= 0", str(count), count == 0)


def _at_most(name: str, bound: str, value: float | None, most: float | None) -> Gate:
    return Gate(name, bound, _shown(value), None if value is None or most is None else value <= most)


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else number(value)
