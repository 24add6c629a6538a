"""Deltas as content blocks that never overlap: numbered from 0, each started, grown and stopped in turn (compat.md M1).

A chat stream may mix text, thinking and several calls at will. One block is open at a time; what belongs elsewhere
closes it, but a tool's block is closed only once its arguments are a whole object: until then the rest waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from app.core.deltas import Delta

Kind = Literal["text", "thinking", "redacted", "tool"]
Growth = Literal["text_delta", "input_json_delta", "thinking_delta", "signature_delta"]
GROWTHS: Final[dict[Kind, Growth]] = {
    "text": "text_delta",
    "thinking": "thinking_delta",
    "tool": "input_json_delta",
}


class BlockOut(Protocol):
    """Where the steps go: events of a stream, or the content of one message."""

    def start(self, index: int, block: dict[str, Any]) -> None: ...

    def grow(self, index: int, growth: Growth, text: str) -> None: ...

    def stop(self, index: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Thinking:
    """How thinking is shown. `signed`: by the provider's own blocks, else as text under `signature`, which is ours."""

    shown: bool = False
    signed: bool = False
    signature: str = ""


class Piece(NamedTuple):
    """Something for one place: the text, thinking block `number` of its provider, or call `number`."""

    kind: Kind
    number: int
    text: str
    id: str = ""
    name: str = ""
    signature: str = ""


class Blocks:
    """`take` each delta, then `end` or `cut`. `tail` is the end of the text, as long as `keep_tail` says."""

    __slots__ = (
        *("_args", "_count", "_done", "_index", "_kind", "_number", "_out", "_signature", "_thinking", "_waiting"),
        *("keep_tail", "stopped_by", "tail", "used_tools"),
    )

    def __init__(self, out: BlockOut, thinking: Thinking, keep_tail: int = 0) -> None:
        self._out = out
        self._thinking = thinking
        self.keep_tail = keep_tail
        self.tail = ""
        #: The upstream's own word of a stop sequence: the string, "" when it did not say which.
        self.stopped_by: str | None = None
        self.used_tools = False
        self._count = 0
        self._index = 0
        self._kind: Kind | None = None
        self._number = 0
        self._args: list[str] = []
        self._signature = ""
        self._waiting: list[Piece] = []
        self._done: set[tuple[Kind, int]] = set()

    def take(self, delta: Delta) -> None:
        text = delta.content
        if (
            text is not None
            and self._kind == "text"
            and not self.keep_tail
            and delta.reasoning is None
            and delta.tools is None
            and delta.refusal is None
            and delta.extras is None
            and delta.stopped_by is None
        ):
            self._out.grow(self._index, "text_delta", text)
            return
        if delta.stopped_by is not None:
            self.stopped_by = delta.stopped_by
        for piece in self._pieces(delta):
            self._add(piece)

    def end(self) -> None:
        """Close what is open; arguments that never became whole end as they are."""
        self.cut()
        while self._waiting:
            self._drain()
            self.cut()

    def cut(self) -> None:
        """Close what is open; what waits stays unsaid."""
        if self._kind is not None:
            self._close()

    def _pieces(self, delta: Delta) -> Iterator[Piece]:
        if self._thinking.shown:
            yield from self._thoughts(delta)
        for text in (delta.content, delta.refusal):
            if text:
                if self.keep_tail:
                    self.tail = (self.tail + text)[-self.keep_tail :]
                yield Piece("text", 0, text)
        for tool in delta.tools or ():
            yield Piece("tool", tool.index, tool.arguments, tool.id or "", tool.name or "")

    def _thoughts(self, delta: Delta) -> Iterator[Piece]:
        details = (delta.extras or {}).get("reasoning_details") if self._thinking.signed else None
        said = False
        for detail in details if isinstance(details, list) else ():
            match detail:
                case {"type": "reasoning.encrypted", "data": str(data)}:
                    yield Piece("redacted", 0, data)
                case {"type": "reasoning.text"}:
                    text, signature, number = (detail.get(key) for key in ("text", "signature", "index"))
                    text = text if isinstance(text, str) else ""
                    signature = signature if isinstance(signature, str) else ""
                    said = said or bool(text)
                    if text or signature:
                        number = number if isinstance(number, int) else 0
                        yield Piece("thinking", number, text, signature=signature)
        if delta.reasoning and not said:
            yield Piece("thinking", self._number if self._kind == "thinking" else 0, delta.reasoning)

    def _add(self, piece: Piece) -> None:
        if self._kind == piece.kind and self._number == piece.number:
            self._grow(piece)
            if self._waiting and self._may_close():
                self._drain()
        elif (piece.kind, piece.number) in self._done and (piece.kind == "tool" or not piece.text):
            return  # behind a whole object, or a signature behind its block: nothing that anyone could use
        elif self._waiting or not self._may_close():
            self._waiting.append(piece)
        else:
            self._open(piece)

    def _drain(self) -> None:
        """What waited, in the order in which it came; some of it may have to wait again."""
        waiting, self._waiting = self._waiting, []
        for piece in waiting:
            self._add(piece)

    def _may_close(self) -> bool:
        return self._kind != "tool" or _is_object(self._args)

    def _open(self, piece: Piece) -> None:
        if self._kind is not None:
            self._close()
        kind = piece.kind
        self._index = self._count
        self._count += 1
        self._out.start(self._index, _new_block(piece))
        if kind == "redacted":
            self._out.stop(self._index)
            return
        self._kind, self._number = kind, piece.number
        self._args, self._signature = [], ""
        self.used_tools = self.used_tools or kind == "tool"
        self._grow(piece)

    def _grow(self, piece: Piece) -> None:
        if piece.text:
            if piece.kind == "tool":
                self._args.append(piece.text)
            self._out.grow(self._index, GROWTHS[piece.kind], piece.text)
        self._signature = piece.signature or self._signature

    def _close(self) -> None:
        kind = self._kind
        if kind is None:
            return
        if kind == "thinking":
            self._out.grow(self._index, "signature_delta", self._signature or self._thinking.signature)
        self._out.stop(self._index)
        self._done.add((kind, self._number))
        self._kind = None


def _new_block(piece: Piece) -> dict[str, Any]:
    match piece.kind:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "redacted":
            return {"type": "redacted_thinking", "data": piece.text}
        case "tool":
            return {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}


def _is_object(arguments: list[str]) -> bool:
    if not arguments or not arguments[-1].rstrip().endswith("}"):
        return False
    return isinstance(read_object("".join(arguments)), dict)


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object in `text`; None when there is none."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
