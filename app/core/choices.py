"""One choice of an upstream answer: what each chunk adds to it, and how it may end (compat.md C4 to C8, C17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.core.chunks import StreamFault, WireCall, WireChoice, WirePart, fault
from app.core.deltas import Delta
from app.core.toolcalls import ToolCalls

#: Every word an upstream may end with (C7, C8); a word not here is `stop`.
FINISHES: Final[dict[str, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
REFUSED: Final = "The model declined to answer."

#: SDKs raise at a second list whose entries have no `index` (`accumulate_delta`), so these leave once, at the end.
_GATHERED: Final = ("annotations", "images")
#: Strings and numbers that a server may repeat in each `audio` fragment and SDKs would add up (C4).
_SAID_ONCE: Final = frozenset({"id", "expires_at"})
_NOTHING: Final = WirePart()


class ChoiceReader:
    """`add` each wire choice, then `close`. `seen`: it appeared; `has_output`: something was generated in it."""

    __slots__ = ("_audio_said", "_calls", "_finish", "_gathered", "_refused", "has_output", "seen")

    def __init__(self, new_call_id: Callable[[], str]) -> None:
        self.seen = False
        self.has_output = False
        self._finish: str | None = None
        self._refused = False
        self._calls = ToolCalls(new_call_id)
        self._gathered: dict[str, list[Any]] = {}
        self._audio_said: set[str] = set()

    @property
    def finish(self) -> str | None:
        """The finish so far, in our words: `stop` with calls stops agents, `tool_calls` with none breaks them."""
        if self._finish is None:
            return None
        finish = FINISHES.get(self._finish, "stop")
        if finish in {"stop", "tool_calls"}:
            return "tool_calls" if self._calls.opened else "stop"
        return finish

    def add(self, index: int, choice: WireChoice) -> Delta | None:
        """The delta for choice `index`, or None if nothing reached it. Raises StreamFault."""
        self.seen = True
        if choice.error is not None or choice.finish_reason == "error":
            _refuse_fault(choice)
        part = choice.delta if choice.delta is not None else _NOTHING
        delta = Delta(
            index,
            content=part.content or None,
            reasoning=_text(part.reasoning_content) or _text(part.reasoning),
            tools=self._tools(part) or None,
            refusal=_text(part.refusal),
            logprobs=_logprobs(choice.logprobs),
            extras=self._extras(part) or None,
        )
        if delta.refusal:
            self._refused = True
        if choice.finish_reason and self._finish is None:
            self._finish = choice.finish_reason
            delta.stopped_by = _stopped_by(choice)
        if delta.content or delta.reasoning or delta.tools or delta.refusal:
            self.has_output = True
        elif delta.logprobs is None and delta.extras is None and delta.stopped_by is None:
            return None
        return delta

    def close(self, index: int) -> Delta | None:
        """What is still owed: `{}` for calls without arguments, gathered lists, words for a bare refusal; once each."""
        refusal = None
        if self._finish == "refusal" and not self._refused:
            refusal, self._refused = REFUSED, True
        delta = Delta(index, tools=self._calls.close() or None, refusal=refusal, extras=self._gathered or None)
        self._gathered = {}
        return delta if delta.tools or delta.refusal or delta.extras else None

    def _tools(self, part: WirePart) -> list[Any]:
        if part.function_call is not None:
            return self._calls.feed([WireCall(function=part.function_call)])
        return self._calls.feed(part.tool_calls) if part.tool_calls else []

    def _extras(self, part: WirePart) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if part.reasoning_details:
            extras["reasoning_details"] = part.reasoning_details
        if isinstance(part.audio, dict):
            audio = {key: value for key, value in part.audio.items() if key not in self._audio_said}
            self._audio_said |= _SAID_ONCE & audio.keys()
            if audio:
                extras["audio"] = audio
                self.has_output = True
        if part.annotations or part.images:
            self._gather(part)
        return extras

    def _gather(self, part: WirePart) -> None:
        for name in _GATHERED:
            entries = getattr(part, name)
            if isinstance(entries, list):
                self._gathered.setdefault(name, []).extend(entries)
        self.has_output = self.has_output or "images" in self._gathered


def _refuse_fault(choice: WireChoice) -> None:
    error = fault(choice.error)
    if error is None and choice.finish_reason == "error":
        error = {"message": "the choice finished with an error"}
    if error is not None:
        raise StreamFault(error)


def _stopped_by(choice: WireChoice) -> str | None:
    if isinstance(choice.stop_reason, str) and choice.finish_reason == "stop":
        return choice.stop_reason
    return "" if "stop_sequence" in (choice.finish_reason, choice.native_finish_reason) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _logprobs(raw: Any) -> dict[str, Any] | None:
    if not isinstance(raw, dict):
        return None
    kept = {key: raw.get(key) for key in ("content", "refusal")}
    return kept if any(kept.values()) else None
