"""What a prompt asks of the simulator: `[tag=a1] [mock=hang_mid] [tokens=200]` anywhere in the last user message."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

#: cue -> its line in --help.
CUES: Final[dict[str, str]] = {
    "[tag=WORD]": "the record in the book carries this tag",
    "[mock=TRIGGER]": "misbehave (table below); several may be given; same as a model id with mock/TRIGGER in it",
    "[tokens=N]": "natural length of the answer (default 40)",
    "[reasoning=N]": "length of the reasoning text, when reasoning is asked for (default 12)",
    "[cached=N]": "prompt tokens reported as read from a cache",
    "[pace=N]": "tokens per second; 0 means at once",
    "[first=N]": "milliseconds before the first token",
    "[tool]": "call the first of the request's tools",
    "[tool=NAME]": "call that one",
    "[tools=N]": "N parallel tool calls",
    "[ids=WORD]": "the completion's id and its tool call ids are made from this word",
}

_CUE: Final = re.compile(r"\[(tag|mock|tokens|reasoning|cached|pace|first|tool|tools|ids)(?:=([^\]\s]*))?\]")
_MODEL: Final = re.compile(r"mock/([A-Za-z0-9_:.+-]+)")


class CueError(ValueError):
    """A cue or trigger that cannot be followed; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cues:
    """The cues of one request; None means "not said"."""

    tag: str | None = None
    triggers: tuple[str, ...] = ()
    tokens: int | None = None
    reasoning: int | None = None
    cached: int = 0
    pace: float | None = None
    first_ms: float | None = None
    tools: int = 0
    tool: str = ""
    ids: str | None = None


def read_cues(model: str, text: str) -> Cues:
    """Cues of the last user text, and triggers of the model id (`mock/a+b` names two). Raises `CueError`."""
    triggers = [name for match in _MODEL.findall(model) for name in match.split("+")]
    if "[" not in text:
        return Cues(triggers=tuple(triggers))
    found: dict[str, str] = {}
    for name, value in _CUE.findall(text):
        if name == "mock":
            triggers.append(value)
        else:
            found[name] = value
    tokens, reasoning, pace, first = (_number(found, name) for name in ("tokens", "reasoning", "pace", "first"))
    return Cues(
        tag=found.get("tag"),
        triggers=tuple(triggers),
        tokens=None if tokens is None else int(tokens),
        reasoning=None if reasoning is None else int(reasoning),
        cached=int(_number(found, "cached") or 0),
        pace=pace,
        first_ms=first,
        tools=int(_number(found, "tools") or ("tool" in found)),
        tool=found.get("tool", ""),
        ids=found.get("ids"),
    )


def _number(found: dict[str, str], name: str) -> float | None:
    if name not in found:
        return None
    try:
        number = float(found[name])
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e7:
        raise CueError(f"the cue [{name}={found[name]}] needs a number from 0 to 9999999")
    return number
