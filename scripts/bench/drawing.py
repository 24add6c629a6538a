"""SVG pictures from a few strokes, drawn by hand: what the bench's and the soak's pictures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def document(width: int, height: int, parts: Iterable[str]) -> str:
    """A whole picture on white."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#333">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>\n"])


def text(x: float, y: float, words: str, anchor: str = "start", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def stroke(x: float, y: float, move: str, colour: str = "#ddd", width: int = 1) -> str:
    """A straight line; `move` is the path's second half, such as `h350`."""
    return f'<path d="M{x:.1f} {y:.1f}{move}" stroke="{colour}" stroke-width="{width}"/>'


def curve(points: Sequence[tuple[float, float]], colour: str, *, width: float = 2, dashed: bool = False) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dash}/>'
