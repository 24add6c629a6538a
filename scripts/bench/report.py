"""What the bench prints and writes: a table for each kind of load, ratios against the goals, everything as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal

import msgspec

from scripts.bench.figures import LOADS, Kind, Measure, Spread, System, number, spread

#: Heading -> field of Measure.
COLUMNS: Final[dict[Kind, dict[str, str]]] = {
    "json": {
        "requests/s": "per_s",
        "p50 ms": "p50_ms",
        "p99 ms": "p99_ms",
        "CPU us/call": "cpu_us",
        "RSS MB": "rss_mb",
    },
    "streams": {
        "tokens/s": "per_s",
        "TTFT p50 ms": "p50_ms",
        "TTFT p99 ms": "p99_ms",
        "burst TTFT p50 ms": "burst_p50_ms",
        "gap p50 ms": "gap_p50_ms",
        "gap p99 ms": "gap_p99_ms",
        "CPU us/token": "cpu_us",
        "RSS MB": "rss_mb",
    },
}
TITLES: Final[dict[Kind, str]] = {
    "json": "JSON: connections with one call at a time, 20-token answers that the upstream gives at once",
    "streams": "Streams: N open at once, 50 tokens/s each, about 100 tokens; TTFT is the time to the first token",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """The gateway's figure, or its ratio to a peer's: `over` it (ours / theirs) or `under` it (theirs / ours)."""

    text: str
    kind: Kind
    field: str
    peer: System | None = None
    way: Literal["over", "under"] = "over"
    #: The load that is judged, and the bound; None: shown only.
    load: int | None = None
    at_least: float | None = None
    at_most: float | None = None


GOALS: Final = (
    Goal("JSON requests/s, share of echo's", "json", "per_s", "echo", load=16, at_least=0.30),
    Goal("JSON requests per CPU second, share of echo's", "json", "cpu_us", "echo", "under"),
    Goal("JSON requests/s, times LiteLLM's", "json", "per_s", "litellm", load=16, at_least=10),
    Goal("JSON requests per CPU second, times LiteLLM's", "json", "cpu_us", "litellm", "under"),
    Goal("TTFT p50, ms", "streams", "p50_ms", load=100, at_most=100),
    Goal("TTFT p50, LiteLLM's over ours", "streams", "p50_ms", "litellm", "under", load=100, at_least=20),
    Goal("tokens per CPU second, times LiteLLM's", "streams", "cpu_us", "litellm", "under"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal at one load; `met` is None where the goal judges nothing."""

    text: str
    load: int
    value: Spread
    bound: str
    met: bool | None


def judge(measures: Sequence[Measure]) -> list[Verdict]:
    """Every goal at every load that was measured; a gateway that failed calls meets none.

    Ratios are taken within a round, then their median.
    """
    verdicts = []
    for goal in GOALS:
        for load in LOADS[goal.kind]:
            here = [m for m in measures if (m.kind, m.load) == (goal.kind, load)]
            value = spread(_values(goal, here))
            if value is not None:
                bound, met = _held(goal, value) if goal.load == load else ("", None)
                failed = any(m.errors for m in here if m.system == "gateway")
                verdicts.append(Verdict(goal.text, load, value, bound, met and not failed))
    return verdicts


def _values(goal: Goal, measures: list[Measure]) -> Iterable[float | None]:
    figure = attrgetter(goal.field)
    by_round = {(m.system, m.round): figure(m) for m in measures}
    for (system, turn), ours in by_round.items():
        if system != "gateway":
            continue
        if goal.peer is None:
            yield ours
            continue
        theirs = by_round.get((goal.peer, turn))
        if ours and theirs:
            yield ours / theirs if goal.way == "over" else theirs / ours


def _held(goal: Goal, value: Spread) -> tuple[str, bool]:
    if goal.at_least is not None:
        return f">= {number(goal.at_least)}", value.median >= goal.at_least
    if goal.at_most is not None:
        return f"<= {number(goal.at_most)}", value.median <= goal.at_most
    raise ValueError(f"the goal {goal.text!r} judges a load and has no bound")


def render(measures: Sequence[Measure]) -> str:
    """All tables as text: medians over the rounds, lowest and highest in parentheses."""
    parts = []
    for kind in LOADS:
        rows = _rows(kind, [m for m in measures if m.kind == kind])
        if rows:
            parts.append(f"{TITLES[kind]}\n\n{table(['load', 'system', *COLUMNS[kind], 'errors'], rows)}")
    verdicts = judge(measures)
    if verdicts:
        rows = [[v.text, str(v.load), str(v.value), v.bound, _MET[v.met]] for v in verdicts]
        parts.append(f"The gateway against the others\n\n{table(['', 'load', 'median', 'goal', ''], rows)}")
    return "\n\n".join(parts)


_MET: Final = {None: "", True: "met", False: "MISSED"}


def _rows(kind: Kind, measures: list[Measure]) -> list[list[str]]:
    groups: dict[tuple[int, System], list[Measure]] = {}
    for one in measures:
        groups.setdefault((one.load, one.system), []).append(one)
    rows = []
    for (load, system), same in sorted(groups.items()):
        spreads = [spread(map(attrgetter(field), same)) for field in COLUMNS[kind].values()]
        errors = sum(one.errors for one in same)
        rows.append([str(load), system, *("–" if each is None else str(each) for each in spreads), str(errors)])
    return rows


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    words = [not any(row[at][:1].isdigit() for row in rows) for at in range(len(heading))]
    lines = [heading, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(line, widths, words, strict=True)
        ).rstrip()
        for line in lines
    )


def as_json(measures: Sequence[Measure], about: dict[str, object]) -> bytes:
    """The run as one document: `about` it, every measurement, every verdict."""
    document = {**about, "measures": measures, "verdicts": judge(measures)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
