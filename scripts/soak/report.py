"""What a soak says while it runs and when it is over, and the document it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from scripts.bench.figures import number
from scripts.bench.report import table
from scripts.soak.crowd import Tally
from scripts.soak.gates import Counts, Gate
from scripts.soak.phones import Phones
from scripts.soak.plan import SoakPlan
from scripts.soak.samples import Sample

_HOLDS: Final = {None: "not judged", True: "holds", False: "BROKEN"}


@dataclass(slots=True)
class Result:
    """Everything there is to tell; `outages` are seconds since the start."""

    plan: SoakPlan
    samples: list[Sample] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    counts: Counts | None = None
    tally: Tally = field(default_factory=Tally)
    phones: Phones | None = None
    lag_p99_ms: float | None = None
    differences: list[str] = field(default_factory=list)
    interrupted: bool = False


def progress(sample: Sample, wrong: int, differences: int) -> str:
    """One line."""
    lag = "" if sample.lag_p99_ms is None else f"  lag p99 {number(sample.lag_p99_ms)} ms"
    calls = f"{sample.begun:>7,} calls  {sample.at_once:>3} at once  {sample.open_holds:>3} holds"
    held = (
        f"RSS {number(sample.rss_mb)} MB  {sample.clients:>3}+{sample.providers} connections  {sample.threads} threads"
    )
    faults = f"{wrong} wrong  {differences} differences"
    return f"{sample.at_s / 60:6.1f} min  {sample.phase:<7}  {calls}  {held}{lag}  {faults}"


def render(result: Result) -> str:
    rows = [[gate.name, gate.bound, gate.value, _HOLDS[gate.holds]] for gate in result.gates]
    answers = ", ".join(f"{count:,} × {name}" for name, count in result.tally.answers.most_common())
    manners = ", ".join(f"{count:,} {name}" for name, count in result.tally.manners.most_common())
    parts = [
        table(["gate", "bound", "value", ""], rows),
        f"Clients: {manners}; at most {result.tally.most_at_once} at once, {result.tally.not_asked} not asked.",
        f"Answers by status and code: {answers}.",
        f"Providers restarted {len(result.outages)} times. Event loop lag p99 under load: {_milliseconds(result)}.",
    ]
    if result.phones is not None and result.phones.first_refusal:
        parts.append(f"The first webhook that was refused: {result.phones.first_refusal}.")
    if result.counts is not None and result.counts.talk is not None:
        parts += [f"{name}: {count:,}" for name, count in result.counts.talk.wrong.items()]
    parts += ["\n".join(found) for found in (result.tally.examples, result.differences) if found]
    return "\n\n".join(parts)


def as_json(result: Result, about: Mapping[str, object]) -> bytes:
    tally = result.tally
    document = {
        **about,
        "minutes": result.plan.minutes,
        "rate": result.plan.rate,
        "messages_per_s": result.plan.messages,
        "interrupted": result.interrupted,
        "gates": result.gates,
        "counts": result.counts,
        "calls": tally.begun,
        "not_asked": tally.not_asked,
        "answers": tally.answers,
        "manners": tally.manners,
        "wrong": tally.examples,
        "differences": result.differences,
        "lag_p99_ms": result.lag_p99_ms,
        "outages_s": result.outages,
        "samples": result.samples,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def title(result: Result, layout: Sequence[str]) -> str:
    return f"Soak: {number(result.plan.minutes)} min at {result.plan.rate:g} calls/s, {', '.join(layout)}"


def _milliseconds(result: Result) -> str:
    return "unknown" if result.lag_p99_ms is None else f"<= {number(result.lag_p99_ms)} ms"
