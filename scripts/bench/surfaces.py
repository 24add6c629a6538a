"""The chat surfaces beside each other: what a stream, and a whole answer, costs the gateway on each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, get_args

import msgspec

from scripts.bench.figures import Kind, Spread, milliseconds, number, percentile, spread
from scripts.bench.load import Load, run_load
from scripts.bench.processes import Cores, Running, available_cores, open_system, pin
from scripts.bench.questions import ANSWER_TOKENS, Door, request, stream_prompt
from scripts.bench.report import table
from scripts.bench.responses import MESSAGES, RESPONSES, EventReader, StreamReader, TypedReader
from scripts.bench.systems import build, free_port, upstream

Surface = Literal["chat", "responses", "messages"]
SURFACES: Final[tuple[Surface, ...]] = get_args(Surface)
PATHS: Final[dict[Surface, str]] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
READERS: Final[dict[Surface, Callable[[], EventReader]]] = {
    "chat": StreamReader,
    "responses": partial(TypedReader, *RESPONSES),
    "messages": partial(TypedReader, *MESSAGES),
}
#: Streams open at once, and connections with one whole answer at a time.
LINES: Final[dict[Kind, int]] = {"streams": 50, "json": 16}
WARM_S: Final = 2.0
LEGEND: Final = """\
Same model, same upstream, same words; only the surface differs. CPU is the gateway's own, by token of a stream or by
whole answer; "of chat" compares medians of this run. A response is stored (`store` is true by default), its stream too.
Medians over the rounds, lowest and highest in parentheses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceMeasure:
    """One surface under one kind of load in one round; `units` are tokens or answers, `p50_ms` as in `Measure`."""

    surface: Surface
    kind: Kind
    round: int
    calls: int
    errors: int
    units: int
    cpu_us: float | None
    p50_ms: float | None
    first_error: str | None = None


def run_surfaces(seconds: float, rounds: int, say: Callable[[str], None]) -> Generator[SurfaceMeasure]:
    """Each measurement as it is made; the surfaces take turns, in an order that turns round after each round.

    Raises BenchError or OSError when a system does not start.
    """
    cores = Cores.choose(available_cores())
    pin(os.getpid(), cores.load)
    with TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        say("starting upstream and gateway")
        with (
            open_system(upstream(free_port()), folder, cores.upstream) as source,
            open_system(build("gateway", folder, source.door), folder, cores.system) as gateway,
        ):
            for surface in SURFACES:
                for kind in LINES:
                    run_load(load_for(gateway.door, surface, kind, WARM_S))
            for turn in range(1, rounds + 1):
                for kind in LINES:
                    for surface in SURFACES if turn % 2 else SURFACES[::-1]:
                        yield _measure(gateway, surface, kind, turn, seconds)


def load_for(door: Door, surface: Surface, kind: Kind, seconds: float) -> Load:
    """The load on one surface of the gateway behind `door`."""
    there = replace(door, path=PATHS[surface])
    streamed = kind == "streams"

    def ask(line: int, turn: int) -> bytes:
        prompt = stream_prompt(line, turn) if streamed else f"Say something short. [tokens={ANSWER_TOKENS}]"
        return request(there, msgspec.json.encode(body_for(surface, door.model, prompt, stream=streamed)))

    return Load((door.port,), ask, LINES[kind], seconds, streamed, reader=READERS[surface])


def body_for(surface: Surface, model: str, prompt: str, *, stream: bool) -> dict[str, Any]:
    """The same question in each surface's own words."""
    if surface == "responses":
        return {"model": model, "input": prompt, "stream": stream}
    limit = {"max_tokens": 1000} if surface == "messages" else {}
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, **limit}


def _measure(gateway: Running, surface: Surface, kind: Kind, turn: int, seconds: float) -> SurfaceMeasure:
    before = gateway.usage()
    tally = run_load(load_for(gateway.door, surface, kind, seconds))
    after = gateway.usage_when_quiet()
    units = tally.tokens if kind == "streams" else tally.calls
    known = before is not None and after is not None and units
    return SurfaceMeasure(
        surface=surface,
        kind=kind,
        round=turn,
        calls=tally.calls,
        errors=tally.errors,
        units=units,
        cpu_us=(after.cpu_s - before.cpu_s) / units * 1e6 if known and after and before else None,
        p50_ms=milliseconds(percentile(tally.waits, 0.5)),
        first_error=tally.first_error,
    )


def render(measures: Sequence[SurfaceMeasure]) -> str:
    """One row for each surface and kind of load."""
    rows = []
    for kind in LINES:
        chat = _cpu(measures, "chat", kind)
        for surface in SURFACES:
            cpu = _cpu(measures, surface, kind)
            same = [one for one in measures if one.surface == surface and one.kind == kind]
            share = number(cpu.median / chat.median) if cpu and chat else "–"
            p50 = spread(one.p50_ms for one in same)
            unit = "us/token" if kind == "streams" else "us/answer"
            errors = sum(one.errors for one in same)
            rows.append([kind, surface, f"{cpu or '–'} {unit}", share, str(p50 or "–"), str(errors)])
    heading = ["load", "surface", "gateway CPU", "of chat", "p50 ms", "errors"]
    return f"Surfaces: {LINES['streams']} streams, {LINES['json']} connections\n\n{table(heading, rows)}\n\n{LEGEND}"


def progress(one: SurfaceMeasure) -> str:
    """One line about one measurement."""
    cpu = "–" if one.cpu_us is None else number(one.cpu_us)
    errors = f"  {one.errors} ERRORS, the first: {one.first_error}" if one.errors else ""
    return f"round {one.round}  {one.kind:<7}  {one.surface:<9}  {one.calls:>5} calls  {cpu} us{errors}"


def as_json(measures: Sequence[SurfaceMeasure], about: dict[str, object]) -> bytes:
    """The run as one document."""
    document = {**about, "legend": LEGEND.splitlines(), "surfaces": measures}
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _cpu(measures: Sequence[SurfaceMeasure], surface: Surface, kind: Kind) -> Spread | None:
    return spread(one.cpu_us for one in measures if one.surface == surface and one.kind == kind)
