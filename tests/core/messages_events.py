"""An independent reader of Messages streams: takes the bytes apart, checks the order, and folds what an SDK would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

Json = dict[str, Any]
TERMINAL: Final = {"message_stop", "error"}
GROWS: Final = {
    "text_delta": ("text", "text"),
    "input_json_delta": ("tool_use", "partial_json"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
}


@dataclass
class Folded:
    """What the events said, and how they ended: `message_stop`, `error`, or `cut` without either."""

    message: Json
    content: list[Json] = field(default_factory=list)
    end: str = "cut"
    error: Json | None = None
    pings: int = 0


def events(data: bytes) -> list[Json]:
    """Each block is a named event with one line of JSON whose `type` is its name (compat.md S7, S9)."""
    assert data.endswith(b"\n\n") or not data
    blocks = data.decode().split("\n\n")[:-1]
    found = []
    for block in blocks:
        name, line = block.split("\n")
        payload: Json = msgspec.json.decode(line.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        assert line.startswith("data: {")
        found.append(payload)
    return found


def follow(data: bytes) -> Folded:
    """Fold a stream, or fail where an event comes out of its order (compat.md M1, M2, M4, M5, M8)."""
    first, *rest = events(data)
    assert first["type"] == "message_start"
    assert (first["message"]["content"], first["message"]["stop_reason"]) == ([], None)
    folded = Folded(first["message"])
    open_at: int | None = None
    said_end = False
    for event in rest:
        assert folded.end == "cut", "something follows the end"
        match event:
            case {"type": "ping"}:
                folded.pings += 1
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert (open_at, said_end, index) == (None, False, len(folded.content))
                check_empty(block)
                folded.content.append(block | {"partial_json": ""} if block["type"] == "tool_use" else block)
                open_at = index
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                assert index == open_at
                grow(folded.content[index], delta)
            case {"type": "content_block_stop", "index": index}:
                assert index == open_at
                finish(folded.content[index])
                open_at = None
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                assert (open_at, said_end) == (None, False)
                said_end = True
                folded.message |= delta | {"usage": usage}
            case {"type": "message_stop"}:
                assert said_end
                folded.end = "message_stop"
            case {"type": "error", "error": error}:
                assert (open_at, said_end) == (None, False)
                folded.end, folded.error = "error", error
            case _:
                raise AssertionError(f"no such event here: {event}")
    folded.message["content"] = folded.content
    return folded


def check_empty(block: Json) -> None:
    match block:
        case {"type": "text", **rest}:
            assert rest == {"text": ""}
        case {"type": "thinking", **rest}:
            assert rest == {"thinking": "", "signature": ""}
        case {"type": "redacted_thinking", **rest}:
            assert rest.keys() == {"data"}
        case {"type": "tool_use", **rest}:
            assert rest.keys() == {"id", "name", "input"}
            assert rest["input"] == {}
        case _:
            raise AssertionError(f"no such block: {block}")


def grow(block: Json, delta: Json) -> None:
    kind, key = GROWS[delta["type"]]
    assert block["type"] == kind
    assert delta.keys() == {"type", key}
    if key == "signature":
        assert "signed" not in block
        block |= {"signature": delta["signature"], "signed": True}
    else:
        assert "signed" not in block, "the signature is the last of its block"
        block[key] += delta[key]


def finish(block: Json) -> None:
    if block["type"] == "thinking":
        assert block.pop("signed")
    if block["type"] == "tool_use":
        text = block.pop("partial_json")
        try:
            value = msgspec.json.decode(text or "{}")
        except msgspec.DecodeError:
            value = {}
        block["input"] = value if isinstance(value, dict) else {}
