"""What is kept of a call besides its money: what it used, what it failed of, and the client's own marks on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.core.deltas import Usage

LONGEST_MARK: Final = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """What a call used, None where its kind has no such thing. Cached is part of input, reasoning of output."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    audio_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Marks:
    """What the client calls its session and its trace, "" for none; `kept_mark` has seen both."""

    session_id: str = ""
    trace_id: str = ""


NOTHING: Final = Measured()
UNMARKED: Final = Marks()


def measured(receipt: Mapping[str, Any]) -> Measured:
    """What a receipt says was used: `usage` in tokens, `units` in seconds and others."""
    usage, units = receipt.get("usage"), receipt.get("units")
    seconds = None if units is None else units.get("seconds")
    audio_ms = None if seconds is None else round(seconds * 1000)
    if isinstance(usage, Usage):
        return Measured(usage.prompt, usage.completion, audio_ms)
    return Measured(audio_ms=audio_ms)


def kept_mark(text: str) -> str:
    """The part of a mark that is kept and looked for: its first 200 characters, without those that do not print.

    A client's name for its own work must never be the reason why a call is refused.
    """
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST_MARK]
