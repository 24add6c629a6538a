"""A turn as server-sent events: the chunks of its dialect, with the faults its trigger asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from scripts.simulator.answers import Call, Event
from scripts.simulator.script import Step
from scripts.simulator.triggers import Quirk
from scripts.simulator.turn import Turn

DONE: Final = b"data: [DONE]\n\n"
_CHUNK: Final = "chat.completion.chunk"
#: Quirks that change the form of a plain content chunk; without them its bytes come from a template.
_RESHAPING: Final = frozenset[Quirk]({"repeat_ids", "role_each_chunk", "signed_thinking", "usage_each_chunk"})
#: What a maker of signed thinking sends behind its text (wire/openrouter.md section 4).
SIGNATURE: Final = "RXFRQkNrWUlBeGdDKkA="
ENCRYPTED: Final = "RW9zQkNrWUlBeGdDKkE="
_DETAIL: Final = {"format": "anthropic-claude-v1"}
_SLOT: Final = "\x00"
_SLOT_JSON: Final = msgspec.json.encode(_SLOT)

Json = dict[str, Any]


def stream_steps(turn: Turn) -> Iterator[Step]:
    """All events in order, each made when it is asked for; one token an event, for texts of our own."""
    stream = _Stream(turn)
    if turn.dialect.preamble:
        yield Step(turn.dialect.preamble)
    if turn.has("bad_first_chunk"):
        yield Step(b'data: {"id":"broken\n\n', turn.first_s)
        return
    yield from stream.opening()
    yield from stream.content()
    if turn.trigger.stop == "content":
        yield from stream.error()
        return
    yield from stream.ending()
    if turn.trigger.stop != "terminal":
        yield Step(DONE, stream.now)


class _Stream:
    """Counts what has gone out, so that pace, running usage and cuts agree with it."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._number = 0
        self._sent = 0
        self._reasoned = 0
        self._templates: dict[tuple[int, str], tuple[bytes, bytes]] = {}
        self._plain = not turn.trigger.quirks & _RESHAPING and turn.top_logprobs is None
        nulls = turn.dialect.null_usage
        self._null_usage = nulls == "always" or (nulls == "when_asked" and turn.usage_asked)

    @property
    def now(self) -> float:
        """When the last token went out, or the first is due."""
        return self._turn.due(max(self._sent - 1, 0))

    def opening(self) -> Iterator[Step]:
        """The role, once per choice."""
        choices = self._turn.answer.choices
        for choice in reversed(choices) if self._turn.has("shuffled_choices") else choices:
            delta = {"content": ""} if self._turn.has("no_role") else {"role": "assistant", "content": ""}
            yield Step(self._chunk([self._choice(choice.index, delta)]), self._turn.first_s)

    def content(self) -> Iterator[Step]:
        """One event after the other, up to the cut if there is one."""
        cut = self._turn.trigger.after_tokens if self._turn.trigger.stop == "content" else None
        signed = False
        for event in self._turn.answer.events():
            if cut is not None and self._sent >= cut:
                return
            due = self._turn.due(self._sent)
            self._sent += event.tokens
            if event.kind == "reasoning":
                self._reasoned += event.tokens
            elif self._turn.has("signed_thinking") and self._reasoned and not signed:
                signed = True
                yield Step(self._chunk([self._choice(event.choice, {"reasoning_details": _signatures()})]), due)
            if self._plain and event.kind != "tool":
                yield Step(self._templated(event), due, event.tokens)
            else:
                yield self._built(event, due)

    def error(self) -> Iterator[Step]:
        """The dialect's in-band error, when the trigger has one."""
        dialect = self._turn.dialect
        if self._turn.trigger.error:
            chunk = self._turn.head(_CHUNK, self._number)
            yield Step(_event(dialect.stream_error(dialect.errors["server_error"], chunk)), self.now)
            if dialect.done_after_error:
                yield Step(DONE, self.now)

    def ending(self) -> Iterator[Step]:
        """A finish reason per choice, then usage where the dialect puts it."""
        dialect, choices = self._turn.dialect, self._turn.answer.choices
        apart = dialect.usage_at == "apart" or (dialect.usage_at == "apart_when_asked" and self._turn.usage_asked)
        usage = self._turn.usage()
        for choice in choices:
            with_it = usage if dialect.usage_at == "with_finish" and choice is choices[-1] else None
            last = self._choice(choice.index, {}, choice.finish)
            yield Step(self._chunk([last], with_it), self.now, usage=with_it)
        if apart and usage is not None:
            yield Step(self._chunk([], usage), self.now, usage=usage)

    def _built(self, event: Event, due: float) -> Step:
        turn = self._turn
        delta: Json = {"role": "assistant"} if turn.has("role_each_chunk") else {}
        if event.call is not None:
            delta["tool_calls"] = [self._fragment(event, event.call)]
        else:
            delta[turn.dialect.reasoning_key if event.kind == "reasoning" else "content"] = event.text
            if event.kind == "reasoning" and turn.has("signed_thinking"):
                delta["reasoning_details"] = [{"type": "reasoning.text", "text": event.text, "index": 0, **_DETAIL}]
        choice = self._choice(event.choice, delta)
        if turn.top_logprobs is not None:
            choice["logprobs"] = turn.logprobs(event.text) if event.kind == "content" else None
        usage = turn.running_usage(self._sent, self._reasoned) if turn.has("usage_each_chunk") else None
        return Step(self._chunk([choice], usage), due, event.tokens, usage)

    def _fragment(self, event: Event, call: Call) -> Json:
        turn = self._turn
        fragment: Json = {} if turn.has("no_index") else {"index": 0 if turn.has("all_zero_index") else call.position}
        function: Json = {"arguments": event.text}
        if event.opens or turn.has("repeat_ids"):
            fragment |= {"id": call.id, "type": "function"}
            function = {"name": call.name} | function
        if turn.has("object_arguments"):
            function["arguments"] = msgspec.json.decode(call.arguments) if event.opens else None
        return fragment | {"function": function}

    def _templated(self, event: Event) -> bytes:
        """The chunk of a plain text event, spliced into bytes encoded once: a fifth of the cost of building it."""
        key = (event.choice, event.kind)
        if key not in self._templates:
            field = self._turn.dialect.reasoning_key if event.kind == "reasoning" else "content"
            before, _, after = self._chunk([self._choice(event.choice, {field: _SLOT})]).partition(_SLOT_JSON)
            self._templates[key] = before, after
        before, after = self._templates[key]
        return before + msgspec.json.encode(event.text) + after

    def _choice(self, index: int, delta: Json, finish: str | None = None) -> Json:
        choice: Json = {"index": index, "delta": delta, "finish_reason": finish}
        if self._turn.dialect.native_finish:
            choice["native_finish_reason"] = finish
        return choice

    def _chunk(self, choices: list[Json], usage: Json | None = None) -> bytes:
        chunk = self._turn.head(_CHUNK, self._number)
        self._number += 1
        chunk["choices"] = choices
        if usage is not None or self._null_usage:
            chunk["usage"] = usage
        return _event(chunk)


def _signatures() -> list[Json]:
    return [
        {"type": "reasoning.text", "signature": SIGNATURE, "index": 0, **_DETAIL},
        {"type": "reasoning.encrypted", "data": ENCRYPTED, "index": 1, **_DETAIL},
    ]


def _event(payload: Json) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"
