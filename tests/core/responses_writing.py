"""Writers of responses, and what they wrote."""

from __future__ import annotations

import json
from typing import Any, Final

from app.core.deltas import Delta, ToolDelta, Usage
from app.core.errors import Problem
from app.core.responses import echo, parse_response
from app.core.responses_object import ResponseObject
from app.core.responses_stream import ResponsesWriter
from tests.core.responses_order import events

USAGE: Final = Usage(prompt=12, completion=30, reasoning=10)
PROBLEM: Final = Problem("upstream_error", "The provider stopped in mid-answer. You were not charged.")


def writer(*, logprobs: bool = False, **asked: Any) -> ResponsesWriter:
    request = parse_response(json.dumps({"input": "hi", "store": False, **asked}).encode())
    shape = ResponseObject("resp_1", 1790000000, "m", echo(request))
    return ResponsesWriter(shape, lambda: 1790000004, logprobs=logprobs)


def whole_stream(deltas: list[Delta], finish: str = "stop", *, logprobs: bool = False) -> bytes:
    out = writer(logprobs=logprobs)
    return out.open() + out.write(deltas) + out.close({0: finish}, USAGE)


def types(stream: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events(stream)]


TOOL: Final = [
    Delta(tools=[ToolDelta(0, "", "call_1", "get_weather")]),
    Delta(tools=[ToolDelta(0, '{"city":"Pune"}')]),
]
