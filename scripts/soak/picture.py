"""A soak as an SVG picture: one panel under the other over the same minutes, drawn with the bench's strokes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from scripts.bench.drawing import curve, document, stroke, text
from scripts.bench.figures import number
from scripts.soak.samples import Sample

BLUE, GREEN, RED = "#1d5fd1", "#2a9d8f", "#d1495b"
#: Title -> curves: name, colour, field of Sample.
PANELS: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "memory of the gateways (RSS), MB": (("", BLUE, "rss_mb"),),
    "calls at once and open holds": (("calls at once", GREEN, "at_once"), ("open holds", RED, "open_holds")),
    "WhatsApp: messages unanswered, replies unsent": (("unanswered", BLUE, "unanswered"), ("unsent", RED, "unsent")),
    "connections": (("to clients", BLUE, "clients"), ("to providers", GREEN, "providers")),
    "threads, sockets and other descriptors that last": (
        *(("threads", RED, "threads"), ("sockets", GREEN, "sockets"), ("descriptors", BLUE, "descriptors")),
    ),
    "Trio tasks": (("", BLUE, "tasks"),),
    "SQLite's log (WAL), MB": (("", BLUE, "wal_mb"),),
    "event loop lag, p99 of a sample, ms": (("", BLUE, "lag_p99_ms"),),
}
_LEFT, _TOP, _WIDTH, _HEIGHT, _GAP = 60, 50, 780, 90, 44


@dataclass(frozen=True, slots=True)
class _Panel:
    """Where seconds and values lie; values from 0 to `most`."""

    top: float
    seconds: float
    most: float

    def at(self, second: float, value: float) -> tuple[float, float]:
        x = _LEFT + _WIDTH * second / self.seconds
        return x, self.top + _HEIGHT * (1 - value / self.most)


def svg(samples: Sequence[Sample], outages: Sequence[tuple[float, float]], title: str) -> str:
    """Panels that have anything to show; `outages` are in seconds since the start."""
    seconds = max((sample.at_s for sample in samples), default=1.0) or 1.0
    parts = [text(_LEFT, 20, title, bold=True)]
    top = _TOP
    for name, curves in PANELS.items():
        if any(_points(samples, field) for _, _, field in curves):
            parts += _panel(name, curves, samples, outages, top, seconds)
            top += _HEIGHT + _GAP
    parts.append(
        text(_LEFT + _WIDTH / 2, top - 8, "minutes; shaded: no load; red ticks: the providers restart", "middle")
    )
    return document(_LEFT + _WIDTH + 40, top + 10, parts)


def _panel(
    name: str,
    curves: Sequence[tuple[str, str, str]],
    samples: Sequence[Sample],
    outages: Sequence[tuple[float, float]],
    top: float,
    seconds: float,
) -> list[str]:
    values = [value for _, _, field in curves for _, value in _points(samples, field)]
    panel = _Panel(top, seconds, max(max(values) * 1.1, 1.0))
    parts = [*_shades(samples, panel), text(_LEFT, top - 8, name, bold=True)]
    for share in (0, 0.5, 1):
        x, y = panel.at(0, panel.most * share)
        parts += [stroke(x, y, f"h{_WIDTH}"), text(x - 8, y + 4, number(panel.most * share), "end")]
    for minute in _minutes(seconds / 60):
        x, y = panel.at(minute * 60, 0)
        parts += [stroke(x, y, "v5", "#999"), text(x, y + 17, f"{minute:g}", "middle")]
    parts += [stroke(*panel.at(since, 0), "v-8", RED, 2) for since, _ in outages]
    for place, (label, colour, field) in enumerate(curves):
        parts.append(curve([panel.at(*point) for point in _points(samples, field)], colour, width=1.5))
        if label:
            x = _LEFT + _WIDTH - 110 * (len(curves) - place)
            parts += [stroke(x, top - 12, "h16", colour, 3), text(x + 20, top - 8, label)]
    return parts


def _points(samples: Sequence[Sample], field: str) -> list[tuple[float, float]]:
    read: Callable[[Sample], float | None] = attrgetter(field)
    return [(sample.at_s, value) for sample in samples if (value := read(sample)) is not None]


def _shades(samples: Sequence[Sample], panel: _Panel) -> list[str]:
    """Grey where there was no load."""
    parts = []
    for phases in (("idle",), ("quiet", "end")):
        times = [sample.at_s for sample in samples if sample.phase in phases]
        if times:
            x, _ = panel.at(times[0], 0)
            width = max(_WIDTH * (times[-1] - times[0]) / panel.seconds, 1)
            parts.append(f'<rect x="{x:.1f}" y="{panel.top}" width="{width:.1f}" height="{_HEIGHT}" fill="#eee"/>')
    return parts


def _minutes(length: float) -> list[float]:
    """About ten round marks."""
    step = next((step for step in (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 240) if length / step <= 10), 480)
    return [step * place for place in range(int(length / step) + 1)]
