"""A long text in parts that a message can hold (channels.md section 9.1).

Cut after a blank line, else a line, a sentence, a word, else between two graphemes: the last such place in the second
half of what fits, so that a title does not become a message. An address is cut only if no part can hold it, a fenced
block only if it takes up more than half of one: it is closed there and opened again.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import regex  # type: ignore[import-untyped]  # it ships no types

from channels.whatsapp.urls import find_urls

ELLIPSIS: Final = "…"
#: A part too small for a fence around a few words is cut as if there were none.
SMALLEST_FENCED: Final = 64
#: A full stop with the brackets and quotes that it closes.
LONGEST_STOP: Final = 9

#: Flags by themselves: `\X` counts back to the first of them at each one.
_GRAPHEME: Final = regex.compile(r"\p{RI}{2}[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]*|\X")
#: Makes one grapheme with what stands before it, be it a space; `Prepend` does with what stands after.
_JOINS: Final = regex.compile(r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]")
#: Where white space begins, if that is where a grapheme ends.
_BEFORE_SPACE: Final = r"(?<![\s\p{GCB=Prepend}])"
_ANY: Final = regex.compile(_BEFORE_SPACE + r"\s")
#: The best first; each matches at the place, with nothing or white space.
_PLACES: Final = (
    regex.compile(_BEFORE_SPACE + r"[^\S\n]*\n[^\S\n]*\n"),
    regex.compile(_BEFORE_SPACE + r"[^\S\n]*\n"),
    regex.compile(r"[.?!][\"')\]*_~”’»]{0,8}\K\s|[।॥。](?![\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}])\K"),
    _ANY,
)
_FENCE: Final = re.compile(r"^ {0,3}(`{3,8})([^`\n]*)$", re.MULTILINE)


class _Fence(NamedTuple):
    """A block from its first tick to its last; `inner` is where its content begins, `close` where that ends."""

    start: int
    inner: int
    close: int
    end: int
    ticks: str


class _Cut(NamedTuple):
    """A part ends at `left`, the next begins at `right`; `fence` is cut through."""

    left: int
    right: int
    fence: _Fence | None = None


def split(text: str, limit: int) -> list[str]:
    """Parts of at most `limit` code points that lose nothing but white space where they meet; none for a blank text."""
    text = text.strip()
    fences = _fences(text) if limit >= SMALLEST_FENCED else []
    parts: list[str] = []
    start, inside = 0, None
    while start < len(text):
        opening = f"{inside.ticks}\n" if inside else ""
        if len(opening) + len(text) - start <= limit:
            parts.append(opening + text[start:])
            break
        cut = _cut(text, start, limit - len(opening), fences)
        closing = f"\n{cut.fence.ticks}" if cut.fence else ""
        parts.append(opening + text[start : cut.left] + closing)
        start, inside = cut.right, cut.fence
        if inside and start >= inside.close:
            start, inside = _skip(text, inside.end), None
    return parts


def shorten(text: str, limit: int) -> str:
    """The text, or as much of its beginning as fits with an ellipsis."""
    return text if len(text) <= limit else unfinished(text, limit)


def unfinished(text: str, limit: int) -> str:
    """As much of its beginning as fits, and an ellipsis that says that there was more."""
    first = split(text, limit - 2)[0]
    return first + ("\n" if first.endswith("```") else "") + ELLIPSIS


def _cut(text: str, start: int, room: int, fences: list[_Fence]) -> _Cut:
    end = start + room
    half = start + max(1, room // 2)
    crossed = next((fence for fence in fences if fence.start < end < fence.end), None)
    for pattern in _PLACES:
        place = _last(pattern, text, half, end, fences)
        if place is not None:
            return _Cut(place, _skip(text, place))
    if crossed and crossed.inner < end - len(crossed.ticks) - 1:
        return _cut_fence(text, max(start, crossed.inner), end - len(crossed.ticks) - 1, crossed)
    place = _last(_ANY, text, start + 1, end, fences)
    if place is None:
        place = _boundary(text, start, end)
    return _Cut(place, _skip(text, place))


def _cut_fence(text: str, start: int, end: int, fence: _Fence) -> _Cut:
    """At the end of a line, whose successor keeps its indentation; else in the line."""
    line = text.rfind("\n", start + 1, end + 1)
    if line != -1:
        return _Cut(line, line + 1, fence)
    place = _last(_ANY, text, start + 1, end, []) or _boundary(text, start, end)
    return _Cut(place, place, fence)


def _last(pattern: Any, text: str, low: int, end: int, fences: list[_Fence]) -> int | None:
    """The last place in `low:end` that is in none of the fenced blocks; none of the patterns matches in an address."""
    found = (match.start() for match in pattern.finditer(text, max(0, low - LONGEST_STOP), end + 2))
    places = [place for place in found if low <= place <= end]
    outside = (place for place in reversed(places) if not any(fence.start < place < fence.end for fence in fences))
    return next(outside, None)


def _boundary(text: str, start: int, end: int) -> int:
    """The last end of a grapheme in `start:end`, before an address that would be cut; `end` if there is none."""
    for begin, stop in find_urls(text, start, end):
        if start < begin < end < stop:
            end = begin
    last = start
    for found in _GRAPHEME.finditer(text, start, end + 1):
        if found.end() <= end:
            last = found.end()
    return last if last > start else end


def _skip(text: str, place: int) -> int:
    """Past the white space, but for the last of it if a combining mark sits on that."""
    at = place
    while at < len(text) and text[at].isspace():
        at += 1
    return at - 1 if place < at < len(text) and _JOINS.match(text, at) else at


def _fences(text: str) -> list[_Fence]:
    """Blocks that are opened and closed; one that never closes is text like any other."""
    fences: list[_Fence] = []
    opened: re.Match[str] | None = None
    for found in _FENCE.finditer(text):
        if opened is None:
            opened = found
        elif len(found[1]) >= len(opened[1]) and not found[2].strip():
            fences.append(_Fence(opened.start(), opened.end() + 1, found.start(), found.end(), opened[1]))
            opened = None
    return fences
