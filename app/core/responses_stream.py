"""Responses events: our deltas as the events of `/v1/responses`, in the only order that is legal (compat.md section 3).

One machine for streams and bodies: every event is rendered where the state changes, so an order that is wrong cannot be
written. Items grow one after the other; only function calls may be open beside another item, because providers may
interleave their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from app.core.deltas import Delta, ToolDelta, Usage
from app.core.errors import Problem
from app.core.responses import in_our_words
from app.core.responses_object import INCOMPLETE, ResponseObject
from app.core.responses_output import FunctionCall, Item, Message, Part, Reasoning, Status, annotation, logprob, views
from app.core.sse import line_safe

_encode = msgspec.json.Encoder().encode
_TEXT_DELTA: Final = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":'
_TEXT_END: Final = b',"logprobs":[]}\n\n'


class Ending(NamedTuple):
    """The events that end a response, and the object that the last of them carries."""

    events: bytes
    response: bytes


class ResponsesWriter:
    """A `StreamWriter`. `clock` gives seconds since 1970; `logprobs` says whether the client asked for them.

    Calls out of order raise RuntimeError. `ending` may be asked for before `close`: it is what `close` will send.
    """

    __slots__ = (
        "_calls",
        "_clock",
        "_ending",
        "_items",
        "_logprobs",
        "_message",
        "_object",
        "_reasoning",
        "_seq",
        "_state",
        "_text_start",
    )

    def __init__(self, response: ResponseObject, clock: Callable[[], int], *, logprobs: bool = False) -> None:
        self._object = response
        self._clock = clock
        self._logprobs = logprobs
        self._state: Literal["new", "open", "ended"] = "new"
        self._seq = 0
        self._items: list[Item] = []
        self._message: Message | None = None
        self._reasoning: Reasoning | None = None
        self._calls: dict[int, FunctionCall] = {}
        #: What stands between number and text of a delta event, while a text part is open.
        self._text_start: bytes | None = None
        self._ending: Ending | None = None

    def open(self) -> bytes:
        """`created`, then `in_progress` (R1)."""
        self._step("new", "open")
        body = b',"response":' + self._object.in_progress([])
        return line_safe(self._event("response.created", body) + self._event("response.in_progress", body))

    def write(self, deltas: Sequence[Delta]) -> bytes:
        self._step("open", "open")
        out: list[bytes] = []
        for delta in deltas:
            text = delta.content
            if (
                text is not None
                and self._text_start is not None
                and delta.reasoning is None
                and delta.tools is None
                and delta.refusal is None
                and delta.extras is None
                and delta.top is None
                and (delta.logprobs is None or not self._logprobs)
                and self._message is not None
            ):
                self._message.parts[-1].pieces.append(text)
                out += (_TEXT_DELTA, b"%d" % self._seq, self._text_start, _encode(text), _TEXT_END)
                self._seq += 1
            else:
                self._take(delta, out)
        return line_safe(b"".join(out))

    def heartbeat(self) -> bytes:
        """The response with its output so far: SDKs replace what they have by it (S11, S12)."""
        self._step("open", "open")
        body = b',"response":' + self._object.in_progress(views(self._items, "in_progress"))
        return line_safe(self._event("response.in_progress", body))

    def ending(self, finishes: Mapping[int, str], usage: Usage) -> Ending:
        """What `close` sends. Nothing may be written between the two, but `error` in place of `close`."""
        self._step("open", "open")
        before = self._seq
        reason = INCOMPLETE.get(finishes.get(0, "stop"))
        if reason == "content_filter" and self._refused:
            reason = None  # a refusal is an answer
        status: Status = "completed" if reason is None else "incomplete"
        out: list[bytes] = []
        for item in self._items:
            if item.open:
                self._item_done(item, status, out)
        response = line_safe(self._object.ended(reason, self._clock(), views(self._items, status), usage))
        out.append(self._event(f"response.{status}", b',"response":' + response))
        self._seq = before
        self._ending = Ending(line_safe(b"".join(out)), response)
        return self._ending

    def close(self, finishes: Mapping[int, str], usage: Usage) -> bytes:
        """Every open item done, then `completed` or `incomplete` (R2, R15)."""
        ending = self._ending or self.ending(finishes, usage)
        self._step("open", "ended")
        return ending.events

    def whole(self, finishes: Mapping[int, str], usage: Usage) -> bytes:
        """The object of the last event."""
        ending = self._ending or self.ending(finishes, usage)
        self._step("open", "ended")
        return ending.response

    def error(self, problem: Problem) -> bytes:
        """`failed`, with what there is of the output (R14)."""
        self._step("open", "ended")
        body = b',"response":' + self._object.failed(in_our_words(problem), views(self._items, "incomplete"))
        return line_safe(self._event("response.failed", body))

    @property
    def _refused(self) -> bool:
        return any(isinstance(item, Message) and item.parts[-1].kind == "refusal" for item in self._items)

    def _step(self, before: str, after: Literal["open", "ended"]) -> None:
        if self._state != before or (self._ending is not None and after == "open"):
            raise RuntimeError(f"a stream of responses that is {self._state} cannot go on like this")
        self._state = after

    def _take(self, delta: Delta, out: list[bytes]) -> None:
        if delta.top is not None and isinstance(tier := delta.top.get("service_tier"), str):
            self._object.service_tier = tier
        thoughts = None if delta.extras is None else delta.extras.get("reasoning_details")
        if delta.reasoning is not None or (thoughts and not self._items):
            self._think(delta.reasoning, out)
        if isinstance(thoughts, list) and self._reasoning is not None:
            self._reasoning.details += thoughts
        probabilities = [logprob(each) for each in delta.logprobs.get("content") or ()] if self._heeds(delta) else []
        if delta.content is not None or probabilities:
            self._say("output_text", delta.content or "", probabilities, out)
        if delta.refusal is not None:
            self._say("refusal", delta.refusal, [], out)
        for tool in delta.tools or ():
            self._call(tool, out)
        if delta.extras is not None and self._text_start is not None and self._message is not None:
            self._annotate(self._message, delta.extras.get("annotations") or (), out)

    def _heeds(self, delta: Delta) -> bool:
        return self._logprobs and delta.logprobs is not None

    def _think(self, text: str | None, out: list[bytes]) -> None:
        """What the provider shows of a thought; some show nothing and send what only they can read."""
        item = self._reasoning
        if item is None:
            self._end_item(self._message, out)
            self._end_whole_calls(out)
            item = self._reasoning = Reasoning(self._object.id, len(self._items), self._object.model)
            self._add(item, out)
        if text is None:
            return
        if not item.pieces:
            part = {"type": "reasoning_text", "text": ""}
            out.append(self._event("response.content_part.added", _at(item, content_index=0, part=part)))
        item.pieces.append(text)
        out.append(self._event("response.reasoning_text.delta", _at(item, content_index=0, delta=text)))

    def _say(self, kind: Literal["output_text", "refusal"], text: str, logprobs: list[Any], out: list[bytes]) -> None:
        message = self._message
        if message is None:
            self._end_item(self._reasoning, out)
            self._end_whole_calls(out)
            message = self._message = Message(self._object.id, len(self._items))
            self._add(message, out)
        if not message.part_open or message.parts[-1].kind != kind:
            self._part_done(message, out)
            message.parts.append(Part(kind))
            message.part_open = True
            added = _at(message, content_index=len(message.parts) - 1, part=message.parts[-1].view())
            out.append(self._event("response.content_part.added", added))
        part, place = message.parts[-1], len(message.parts) - 1
        part.pieces.append(text)
        if kind == "refusal":
            self._text_start = None
            out.append(self._event("response.refusal.delta", _at(message, content_index=place, delta=text)))
            return
        part.logprobs += logprobs
        self._text_start = _at(message, content_index=place) + b',"delta":'
        body = _at(message, content_index=place, delta=text, logprobs=logprobs)
        out.append(self._event("response.output_text.delta", body))

    def _annotate(self, message: Message, raw: Sequence[Any], out: list[bytes]) -> None:
        part, place = message.parts[-1], len(message.parts) - 1
        for each in raw:
            cited = annotation(each)
            if cited is not None:
                body = _at(message, content_index=place, annotation_index=len(part.annotations), annotation=cited)
                part.annotations.append(cited)
                out.append(self._event("response.output_text.annotation.added", body))

    def _call(self, tool: ToolDelta, out: list[bytes]) -> None:
        call = self._calls.get(tool.index)
        if call is None:
            self._end_item(self._reasoning, out)
            self._end_item(self._message, out)
            self._end_whole_calls(out)
            call = FunctionCall(self._object.id, len(self._items), tool.id or "", tool.name or "")
            self._calls[tool.index] = call
            self._add(call, out)
        if tool.arguments and call.open:
            call.pieces.append(tool.arguments)
            out.append(self._event("response.function_call_arguments.delta", _at(call, delta=tool.arguments)))

    def _end_whole_calls(self, out: list[bytes]) -> None:
        for call in self._calls.values():
            if call.open and call.whole:
                self._end_item(call, out)

    def _add(self, item: Item, out: list[bytes]) -> None:
        self._items.append(item)
        body = b',"output_index":%d,"item":%b' % (item.index, _encode(item.view("in_progress")))
        out.append(self._event("response.output_item.added", body))

    def _end_item(self, item: Item | None, out: list[bytes]) -> None:
        if item is None:
            return
        self._item_done(item, "completed", out)
        item.open = False
        if item is self._message:
            self._message = self._text_start = None
        elif item is self._reasoning:
            self._reasoning = None

    def _item_done(self, item: Item, status: Status, out: list[bytes]) -> None:
        """The events that end an item; its state stays, so that an ending can be rendered beforehand."""
        match item:
            case Message():
                self._part_done(item, out)
            case Reasoning(pieces=[]):
                pass
            case Reasoning():
                place = {"content_index": 0}
                out.append(self._event("response.reasoning_text.done", _at(item, **place, text=item.text)))
                part = {"type": "reasoning_text", "text": item.text}
                out.append(self._event("response.content_part.done", _at(item, **place, part=part)))
            case FunctionCall():
                said = _at(item, name=item.name, arguments=item.arguments)
                out.append(self._event("response.function_call_arguments.done", said))
        body = b',"output_index":%d,"item":%b' % (item.index, _encode(item.view(status)))
        out.append(self._event("response.output_item.done", body))

    def _part_done(self, message: Message, out: list[bytes]) -> None:
        if not message.part_open:
            return
        part, place = message.parts[-1], len(message.parts) - 1
        if part.kind == "refusal":
            done = _at(message, content_index=place, refusal=part.text)
            out.append(self._event("response.refusal.done", done))
        else:
            done = _at(message, content_index=place, text=part.text, logprobs=part.logprobs)
            out.append(self._event("response.output_text.done", done))
        out.append(self._event("response.content_part.done", _at(message, content_index=place, part=part.view())))

    def _event(self, name: str, body: bytes) -> bytes:
        """One event with the next number; `body` begins with a comma."""
        kind = name.encode()
        text = b'event: %b\ndata: {"type":"%b","sequence_number":%d%b}\n\n' % (kind, kind, self._seq, body)
        self._seq += 1
        return text


def _at(item: Item, **fields: Any) -> bytes:
    """Where something happens, and what."""
    return b"," + _encode({"item_id": item.id, "output_index": item.index, **fields})[1:-1]
