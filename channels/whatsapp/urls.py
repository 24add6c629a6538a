"""Where a web address stands in a text: it is never changed and never cut."""

from __future__ import annotations

import re
from typing import Final

#: As far as an address can go: not over the punctuation of Indian and East Asian scripts, which write no space after
#: it. `_END` and a bracket that the address did not open belong to the sentence around it.
_ADDRESS: Final = re.compile(
    r"https?://[^\s<>\[\]\"`\u0964\u0965\u3001-\u301F\uFF01-\uFF0F\uFF1A-\uFF20]+", re.IGNORECASE
)
_END: Final = ".,;:!?'*_~"


def match_url(text: str, at: int) -> str:
    """The address that begins at `at`, "" for none."""
    found = _ADDRESS.match(text, at)
    return "" if found is None else _trimmed(found.group())


def find_urls(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Beginning and end of the addresses that begin in `start:end`; the last may go on past it."""
    spans: list[tuple[int, int]] = []
    at = start
    while (found := _ADDRESS.search(text, at)) is not None and found.start() < end:
        spans.append((found.start(), found.start() + len(_trimmed(found.group()))))
        at = found.end()
    return spans


def _trimmed(url: str) -> str:
    opened, closed = url.count("("), url.count(")")
    end = len(url)
    while end and (url[end - 1] in _END or (url[end - 1] == ")" and closed > opened)):
        closed -= url[end - 1] == ")"
        end -= 1
    return url[:end]
