"""A Messages answer, as events in their one legal order or as one body; both from the same blocks (spec.md 9.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from app.core import messages_errors
from app.core.deltas import Delta, Usage
from app.core.errors import Problem
from app.core.messages_blocks import Blocks, Growth, Thinking, read_object
from app.core.sse import event, line_safe

_encode = msgspec.json.Encoder().encode
STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_PING: Final = event("ping", b'{"type":"ping"}')
_STOP: Final = event("message_stop", b'{"type":"message_stop"}')
#: From the type of a delta to its text.
_GROWTHS: Final[dict[Growth, bytes]] = {
    "text_delta": b'{"type":"text_delta","text":',
    "input_json_delta": b'{"type":"input_json_delta","partial_json":',
    "thinking_delta": b'{"type":"thinking_delta","thinking":',
    "signature_delta": b'{"type":"signature_delta","signature":',
}
_GROWN: Final = b"}}\n\n"


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of an answer before it begins. `model` is as the client sent it, `prompt_tokens` an estimate."""

    id: str
    model: str
    prompt_tokens: int
    request_id: str
    thinking: Thinking = field(default_factory=Thinking)
    stop_sequences: tuple[str, ...] = ()


class MessagesWriter:
    """A `StreamWriter`: `open` once, `write` and `heartbeat`, then `close` or `error` once; else RuntimeError.

    `error_then_stop` adds a `message_stop` behind an error: clients disagree about it, and one that reads no further
    than the error is right in either case (compat.md M8).
    """

    __slots__ = ("_blocks", "_head", "_late", "_opening", "_parts", "_phase")

    def __init__(self, opening: Opening, *, error_then_stop: bool = False) -> None:
        self._opening = opening
        self._late = error_then_stop
        self._phase: Literal["new", "open", "ended"] = "new"
        self._parts: list[bytes] = []
        self._head = b""
        self._blocks = new_blocks(self, opening)

    def open(self) -> bytes:
        self._step("new", "open")
        message = message_object(self._opening, [], None, None, Usage(self._opening.prompt_tokens, 1))
        return line_safe(event("message_start", _encode({"type": "message_start", "message": message})))

    def write(self, deltas: Sequence[Delta]) -> bytes:
        if self._phase != "open":
            raise RuntimeError(f"a stream that is {self._phase} takes no deltas")
        take = self._blocks.take
        for delta in deltas:
            take(delta)
        return self._taken()

    def heartbeat(self) -> bytes:
        """Resets idle timers, which comments do not (compat.md S11)."""
        self._step("open", "open")
        return _PING

    def close(self, finishes: Mapping[int, str], usage: Usage) -> bytes:
        self._step("open", "ended")
        self._blocks.end()
        reason, sequence = stop_of(finishes, self._blocks, self._opening)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        end = {"type": "message_delta", "delta": delta, "usage": usage_object(usage)}
        self._parts += (event("message_delta", _encode(end)), _STOP)
        return self._taken()

    def error(self, problem: Problem) -> bytes:
        """The open block is stopped, then the error: nothing that would make the turn look whole."""
        self._step("open", "ended")
        self._blocks.cut()
        self._parts.append(event("error", messages_errors.body(problem, self._opening.request_id)))
        if self._late:
            self._parts.append(_STOP)
        return self._taken()

    def start(self, index: int, block: dict[str, Any]) -> None:
        start = {"type": "content_block_start", "index": index, "content_block": block}
        self._parts.append(event("content_block_start", _encode(start)))
        self._head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % index

    def grow(self, index: int, growth: Growth, text: str) -> None:
        self._parts += (self._head, _GROWTHS[growth], _encode(text), _GROWN)

    def stop(self, index: int) -> None:
        self._parts.append(event("content_block_stop", b'{"type":"content_block_stop","index":%d}' % index))

    def _taken(self) -> bytes:
        data = line_safe(b"".join(self._parts))
        self._parts.clear()
        return data

    def _step(self, expected: str, then: Literal["open", "ended"]) -> None:
        if self._phase != expected:
            raise RuntimeError(f"a stream that is {self._phase} cannot become {then}")
        self._phase = then


class MessageFold:
    """A `WholeWriter`: the same answer as one body."""

    __slots__ = ("_blocks", "_content", "_grown", "_opening")

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._content: list[dict[str, Any]] = []
        self._grown: dict[Growth, list[str]] = {}
        self._blocks = new_blocks(self, opening)

    def open(self) -> bytes:
        return b""

    def write(self, deltas: Sequence[Delta]) -> bytes:
        for delta in deltas:
            self._blocks.take(delta)
        return b""

    def whole(self, finishes: Mapping[int, str], usage: Usage) -> bytes:
        self._blocks.end()
        reason, sequence = stop_of(finishes, self._blocks, self._opening)
        return _encode(message_object(self._opening, self._content, reason, sequence, usage))

    def start(self, index: int, block: dict[str, Any]) -> None:
        self._content.append(block)
        self._grown = {}

    def grow(self, index: int, growth: Growth, text: str) -> None:
        self._grown.setdefault(growth, []).append(text)

    def stop(self, index: int) -> None:
        """Arguments that are no object, as those of an answer cut by its limit, leave the input empty."""
        block = self._content[index]
        for growth, pieces in self._grown.items():
            whole = "".join(pieces)
            if growth == "input_json_delta":
                block["input"] = read_object(whole) or {}
            else:
                block[growth.removesuffix("_delta")] = whole


def new_blocks(out: MessagesWriter | MessageFold, opening: Opening) -> Blocks:
    return Blocks(out, opening.thinking, max(map(len, opening.stop_sequences), default=0))


def message_object(
    opening: Opening, content: list[dict[str, Any]], reason: str | None, sequence: str | None, usage: Usage
) -> dict[str, Any]:
    return {
        "id": opening.id,
        "type": "message",
        "role": "assistant",
        "model": opening.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage_object(usage),
    }


def usage_object(usage: Usage) -> dict[str, int]:
    """Cached and written tokens stand beside the input, not inside it (compat.md M7); the three sum to the prompt."""
    return {
        "input_tokens": usage.prompt - usage.cached - usage.cache_written,
        "cache_creation_input_tokens": usage.cache_written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }


def stop_of(finishes: Mapping[int, str], blocks: Blocks, opening: Opening) -> tuple[str, str | None]:
    """`stop_reason` and `stop_sequence`: by the upstream's word, else by how the text ends (compat.md M6)."""
    finish = finishes.get(0, "stop")
    if blocks.used_tools and finish == "stop":
        finish = "tool_calls"
    stops = opening.stop_sequences
    if finish == "stop" and stops:
        matched = blocks.stopped_by if blocks.stopped_by in stops else None
        matched = matched or max((stop for stop in stops if blocks.tail.endswith(stop)), key=len, default=None)
        if matched is None and blocks.stopped_by == "" and len(stops) == 1:
            matched = stops[0]
        if matched is not None or blocks.stopped_by == "":
            return "stop_sequence", matched
    return STOP_REASONS[finish], None
