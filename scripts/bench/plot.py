"""Latency against load as an SVG picture, drawn by hand: one panel for each kind, a line for each system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from operator import attrgetter
from typing import Final

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
    width, height = max(len(kinds), 1) * _PANEL, _LEGEND_Y + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for at, kind in enumerate(kinds):
        parts += _panel(kind, [one for one in measures if one.kind == kind], at * _PANEL + _LEFT)
    parts += _legend(systems)
    return "\n".join([*parts, "</svg>\n"])


def _panel(kind: Kind, measures: Sequence[Measure], left: float) -> list[str]:
    known = [ms for one in measures for ms in (one.p50_ms, one.p99_ms) if ms]
    low = math.floor(math.log10(min(known, default=1)))
    high = max(math.ceil(math.log10(max(known, default=10))), low + 1)
    scale = _Scale(left, sorted({one.load for one in measures}), low, high)
    title, unit = PANELS[kind]
    parts = [_text(left, _TOP - 18, title, bold=True), _text(left + _WIDTH / 2, _TOP + _HEIGHT + 38, unit, "middle")]
    for power in range(low, high + 1):
        y = scale.y(10.0**power)
        parts.append(f'<path d="M{left:.0f} {y:.1f}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(_text(left - 8, y + 4, f"{10.0**power:,.{max(-power, 0)}f}", "end"))
    parts += [_text(scale.x(load), _TOP + _HEIGHT + 18, str(load), "middle") for load in scale.loads]
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
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
    return [line, *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)]


def _legend(systems: Sequence[System]) -> list[str]:
    parts = []
    for at, system in enumerate(systems):
        x = _LEFT + at * 95
        stroke = f'stroke="{COLOURS[system]}" stroke-width="3"'
        parts += [f'<path d="M{x} {_LEGEND_Y}h18" {stroke}/>', _text(x + 24, _LEGEND_Y + 4, system)]
    return [*parts, _text(_LEFT, 18, "solid: p50, dashed: p99")]


def _text(x: float, y: float, text: str, anchor: str = "start", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
