"""Deltas folded into one completion body (spec.md 5.3); the one place that spells a usage object (compat.md C11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from app.core.deltas import Delta, ToolDelta, Usage

_encode = msgspec.json.Encoder().encode
#: What comes in pieces inside `reasoning_details` and `audio`; all else there is said whole.
_GROWING: Final = frozenset({"text", "summary", "data", "transcript"})


def usage_object(usage: Usage) -> dict[str, Any]:
    """The full key set, zeros included, in streams and bodies alike (C11)."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "audio_tokens": usage.audio_in,
            "cache_write_tokens": usage.cache_written,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_out,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


class _Call(msgspec.Struct, gc=False):
    id: str
    name: str
    arguments: list[str]


class _Choice:
    __slots__ = ("calls", "content", "extras", "logprobs", "reasoning", "refusal")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: list[_Call] = []
        self.logprobs: dict[str, list[Any] | None] | None = None
        self.extras: dict[str, list[Any]] = {}

    @property
    def empty(self) -> bool:
        seen = self.content or self.reasoning or self.refusal or self.calls
        return not (seen or "audio" in self.extras or "images" in self.extras)

    def add_tool(self, tool: ToolDelta) -> None:
        if tool.index == len(self.calls):
            self.calls.append(_Call(tool.id or "", tool.name or "", []))
        if tool.arguments:
            self.calls[tool.index].arguments.append(tool.arguments)

    def add_logprobs(self, logprobs: Mapping[str, list[Any] | None]) -> None:
        if self.logprobs is None:
            self.logprobs = {"content": None, "refusal": None}
        for key, entries in logprobs.items():
            if entries:
                self.logprobs[key] = [*(self.logprobs[key] or []), *entries]

    def message(self) -> dict[str, Any]:
        content = "".join(self.content)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if self.calls and not content else content,
            "refusal": "".join(self.refusal) or None,
        }
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in self.calls
            ]
        return message | {name: folded(fragments) for name, fragments in self.extras.items()}

    def texts(self) -> Iterator[str]:
        yield from self.reasoning
        yield from self.content
        yield from self.refusal
        for call in self.calls:
            yield call.name
            yield from call.arguments


class Accumulator:
    """What a call has produced so far. `logprobs`: whether the client asked for them (C15)."""

    __slots__ = ("_choices", "_logprobs", "_top")

    def __init__(self, *, logprobs: bool = False) -> None:
        self._choices: dict[int, _Choice] = {}
        self._top: dict[str, Any] = {}
        self._logprobs = logprobs

    @property
    def empty(self) -> bool:
        """No text, reasoning, refusal, call, audio or image: such an answer is free (pains.md B7)."""
        return all(choice.empty for choice in self._choices.values())

    def add(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            choice = self._choices.get(delta.choice)
            if choice is None:
                choice = self._choices[delta.choice] = _Choice()
            if delta.content is not None:
                choice.content.append(delta.content)
            if delta.reasoning is not None:
                choice.reasoning.append(delta.reasoning)
            if delta.tools is not None:
                for tool in delta.tools:
                    choice.add_tool(tool)
            if delta.refusal is not None:
                choice.refusal.append(delta.refusal)
            if delta.logprobs is not None and self._logprobs:
                choice.add_logprobs(delta.logprobs)
            if delta.extras is not None:
                for name, fragment in delta.extras.items():
                    choice.extras.setdefault(name, []).append(fragment)
            if delta.top is not None:
                self._top |= delta.top

    def message(self) -> dict[str, Any]:
        """The assistant message of the first choice, as a completion has it."""
        return (self._choices.get(0) or _Choice()).message()

    def text(self) -> str:
        """All that was generated, of every choice, joined: what a tokenizer counts when no usage came."""
        return "".join(text for choice in self._choices.values() for text in choice.texts())

    def completion(
        self, id: str, created: int, model: str, finishes: Mapping[int, str], usage: Usage, choices: int
    ) -> bytes:
        """The JSON body. Every choice 0..n-1 is in it, one the upstream never mentioned as an empty `stop`."""
        answered = [(index, self._choices.get(index) or _Choice()) for index in range(choices)]
        body = {
            "id": id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "system_fingerprint": None,
            "choices": [
                {
                    "index": index,
                    "message": choice.message(),
                    "logprobs": choice.logprobs,
                    "finish_reason": finishes.get(index, "stop"),
                }
                for index, choice in answered
            ],
            "usage": usage_object(usage),
        }
        # Padding against length attacks means something in a stream only.
        return _encode(body | {name: value for name, value in self._top.items() if name != "obfuscation"})


def folded(fragments: list[Any]) -> Any:
    """One value of all fragments: lists in a row with their blocks put together, objects as one, else the last."""
    if all(isinstance(fragment, dict) for fragment in fragments):
        return _joined(fragments)
    if not all(isinstance(fragment, list) for fragment in fragments):
        return fragments[-1]
    blocks: dict[Any, list[Any]] = {}
    for position, entry in enumerate(entry for fragment in fragments for entry in fragment):
        # `reasoning_details` name the block a fragment belongs to; a client replays whole blocks (C17).
        index = entry.get("index") if isinstance(entry, dict) else None
        place = (position,) if not isinstance(index, int) else (index, str(entry.get("type")))
        blocks.setdefault(place, []).append(entry)
    return [_joined(entries) if len(entries) > 1 else entries[0] for entries in blocks.values()]


def _joined(fragments: list[dict[str, Any]]) -> dict[str, Any]:
    """Text grows from fragment to fragment; of anything else the newest that is not null stands."""
    whole: dict[str, Any] = {}
    for fragment in fragments:
        whole |= {key: value for key, value in fragment.items() if value is not None or key not in whole}
    for key in _GROWING & whole.keys():
        if isinstance(whole[key], str):
            whole[key] = "".join(text for fragment in fragments if isinstance(text := fragment.get(key), str))
    return whole
