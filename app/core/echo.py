"""Takes a client's own words out of what a provider says about them: errors quote prompts, and no log may hold one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

#: Shorter words tell nothing, and masking them would leave nothing to read. Other scripts are masked letter by letter:
#: not all of them put spaces between words.
WORD: Final = re.compile(r"[A-Za-z0-9]{3,}|[^\x00-\x7f]")
MASKS: Final = re.compile(r"(?:\*\*\*)+")
#: Their values are the protocol's words, not the client's.
PROTOCOL: Final = frozenset({"role", "type"})


def without_echo(line: str, *said: Any) -> str:
    """`line` with `***` for every word that occurs in the texts of `said`, which are JSON values of any depth."""
    texts = "\n".join(_texts(said)).casefold()
    return MASKS.sub("***", WORD.sub(lambda word: "***" if word[0].casefold() in texts else word[0], line))


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        match left.pop():
            case str(text):
                yield text
            case dict(fields):
                left += [each for key, each in fields.items() if key not in PROTOCOL]
            case list(items) | tuple(items):
                left += items
