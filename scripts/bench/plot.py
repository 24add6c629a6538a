"""Latency against load as an SVG picture, drawn by hand: one panel for each kind, a line for each system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from scripts.bench.drawing import curve, document, stroke, text
from scripts.bench.figures import LOADS, Kind, Measure, System, spread

COLOURS: Final[dict[System, str]] = {
    "upstream": "#8a8f98",
    "echo": "#2a9d8f",
    "gateway": "#1d5fd1",
    "litellm": "#d1495b",
}
PANELS: Final[dict[Kind, tuple[str, str]]] = {
    "json": ("JSON answer, ms", "connections"),
    "streams": ("time to first token, ms", "streams at 50 tokens/s"),
}
_PANEL: Final = 440
_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 64, 350, 250
_LEGEND_Y: Final = 376


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a load and a latency lie in a panel: loads side by side, latency on powers of ten."""

    left: float
    loads: Sequence[int]
    low: int
    high: int

    def x(self, load: int) -> float:
        return self.left + _WIDTH * (self.loads.index(load) + 0.5) / len(self.loads)

    def y(self, ms: float) -> float:
        share = (math.log10(max(ms, 10.0**self.low)) - self.low) / (self.high - self.low)
        return _TOP + _HEIGHT * (1 - share)


def svg(measures: Sequence[Measure]) -> str:
    """The whole picture; solid lines are p50, dashed lines p99, both medians over the rounds."""
    kinds = [kind for kind in LOADS if any(one.kind == kind for one in measures)]
    systems = [system for system in COLOURS if any(one.system == system for one in measures)]
    parts: list[str] = []
    for at, kind in enumerate(kinds):
        parts += _panel(kind, [one for one in measures if one.kind == kind], at * _PANEL + _LEFT)
    parts += _legend(systems)
    return document(max(len(kinds), 1) * _PANEL, _LEGEND_Y + 20, parts)


def _panel(kind: Kind, measures: Sequence[Measure], left: float) -> list[str]:
    known = [ms for one in measures for ms in (one.p50_ms, one.p99_ms) if ms]
    low = math.floor(math.log10(min(known, default=1)))
    high = max(math.ceil(math.log10(max(known, default=10))), low + 1)
    scale = _Scale(left, sorted({one.load for one in measures}), low, high)
    title, unit = PANELS[kind]
    parts = [text(left, _TOP - 18, title, bold=True), text(left + _WIDTH / 2, _TOP + _HEIGHT + 38, unit, "middle")]
    for power in range(low, high + 1):
        y = scale.y(10.0**power)
        parts.append(stroke(left, y, f"h{_WIDTH}"))
        parts.append(text(left - 8, y + 4, f"{10.0**power:,.{max(-power, 0)}f}", "end"))
    parts += [text(scale.x(load), _TOP + _HEIGHT + 18, str(load), "middle") for load in scale.loads]
    for system, colour in COLOURS.items():
        mine = [one for one in measures if one.system == system]
        parts += _line(mine, "p50_ms", scale, colour, dashed=False)
        parts += _line(mine, "p99_ms", scale, colour, dashed=True)
    return parts


def _line(measures: Sequence[Measure], field: str, scale: _Scale, colour: str, *, dashed: bool) -> list[str]:
    points = []
    for load in scale.loads:
        value = spread(map(attrgetter(field), (one for one in measures if one.load == load)))
        if value is not None:
            points.append((scale.x(load), scale.y(value.median)))
    if not points:
        return []
    line = curve(points, colour, dashed=dashed)
    return [line, *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)]


def _legend(systems: Sequence[System]) -> list[str]:
    parts = []
    for at, system in enumerate(systems):
        x = _LEFT + at * 95
        parts += [stroke(x, _LEGEND_Y, "h18", COLOURS[system], 3), text(x + 24, _LEGEND_Y + 4, system)]
    return [*parts, text(_LEFT, 18, "solid: p50, dashed: p99")]
