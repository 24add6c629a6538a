"""Chat Completions events: our deltas as `chat.completion.chunk` bytes (spec.md 5.7, compat.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from app.core.accumulate import usage_object
from app.core.deltas import Delta, ToolDelta, Usage
from app.core.errors import Problem
from app.core.sse import DONE, event, line_safe

_encode = msgspec.json.Encoder().encode
_END_EVENT: Final = b"}\n\n"


class ChatWriter:
    """A `StreamWriter`. What never changes in a stream (C2) is encoded once; a chunk of text is one join.

    `logprobs` says whether the client asked for them (C15), `include_usage` whether for the usage chunk (C9).
    """

    __slots__ = ("_end", "_head", "_include_usage", "_logprobs", "_reasoning", "_starts", "_text")

    def __init__(self, id: str, created: int, model: str, choices: int, include_usage: bool, logprobs: bool) -> None:
        constants = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + _encode(constants)[:-1] + b',"choices":['
        self._include_usage = include_usage
        self._logprobs = logprobs
        self._starts = [self._head + b'{"index":%d,"delta":' % index for index in range(choices)]
        self._text = [start + b'{"content":' for start in self._starts]
        self._reasoning = [start + b'{"reasoning_content":' for start in self._starts]
        self._end = b"}" + self._ending()

    def open(self) -> bytes:
        """The first chunk of each choice, in order: the role and an empty text, nothing else (C1, C3)."""
        ending = self._ending()
        opening = b'{"role":"assistant","content":""}'
        return line_safe(b"".join(start + opening + ending for start in self._starts))

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """A chunk for each delta; a delta of logprobs nobody asked for makes none."""
        parts: list[bytes] = []
        for delta in deltas:
            content = delta.content
            if (
                delta.tools is None
                and delta.refusal is None
                and delta.extras is None
                and delta.top is None
                and (delta.logprobs is None or not self._logprobs)
            ):
                if delta.reasoning is None:
                    if content is not None:
                        parts += (self._text[delta.choice], _encode(content), self._end)
                    continue
                if content is None:
                    parts += (self._reasoning[delta.choice], _encode(delta.reasoning), self._end)
                    continue
            parts.append(self._chunk(delta))
        return line_safe(b"".join(parts))

    def heartbeat(self) -> bytes:
        """An empty delta: it resets idle timers, which comments do not (S11)."""
        return line_safe(self._starts[0] + b"{}" + self._ending())

    def close(self, finishes: Mapping[int, str], usage: Usage) -> bytes:
        """One finish chunk per choice, `stop` where none is known, the usage chunk if asked, `[DONE]` (C7, C9, S8)."""
        parts: list[bytes] = []
        for index, start in enumerate(self._starts):
            parts += (start, b"{}", self._ending(finish=finishes.get(index, "stop")))
        if self._include_usage:
            parts += (self._head, b'],"usage":', _encode(usage_object(usage)), _END_EVENT)
        parts.append(event(None, DONE))
        return line_safe(b"".join(parts))

    def error(self, problem: Problem) -> bytes:
        """The error in band. No finish and no `[DONE]` follow: either would hide it (C12)."""
        return event(None, line_safe(problem.body()))

    def _chunk(self, delta: Delta) -> bytes:
        logprobs = delta.logprobs if self._logprobs else None
        return (
            self._starts[delta.choice] + _encode(_delta_object(delta)) + self._ending(logprobs=logprobs, top=delta.top)
        )

    def _ending(
        self, *, logprobs: Any = None, finish: str | None = None, top: Mapping[str, Any] | None = None
    ) -> bytes:
        """From the comma after the delta to the blank line."""
        beside = b"," + _encode(top)[1:-1] if top else b""
        usage = b',"usage":null' if self._include_usage else b""
        return b',"logprobs":%b,"finish_reason":%b}]%b%b}\n\n' % (_encode(logprobs), _encode(finish), beside, usage)


def _delta_object(delta: Delta) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if delta.content is not None:
        body["content"] = delta.content
    if delta.reasoning is not None:
        body["reasoning_content"] = delta.reasoning
    if delta.refusal is not None:
        body["refusal"] = delta.refusal
    if delta.tools is not None:
        body["tool_calls"] = [_tool_object(tool) for tool in delta.tools]
    if delta.extras is not None:
        body |= delta.extras
    return body


def _tool_object(tool: ToolDelta) -> dict[str, Any]:
    """`id`, `type` and `name` in the first fragment only: SDKs add strings up (C4)."""
    if tool.id is None:
        return {"index": tool.index, "function": {"arguments": tool.arguments}}
    function = {"name": tool.name, "arguments": tool.arguments}
    return {"index": tool.index, "id": tool.id, "type": "function", "function": function}
