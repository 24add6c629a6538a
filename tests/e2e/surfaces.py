"""The three ways to ask a chat model, as raw bytes: the question that each route wants and how its answer is read.

The prompt, and so what the simulator is told to do, is the same on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from tests.e2e.settlement import MARK

Json = dict[str, Any]
RESPONSE_ENDS: Final = (b"event: response.completed\n", b"event: response.incomplete\n")
#: The most that may be asked for: the longest answers here are as long as a megabyte.
ROOM: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Surface:
    """A route. `ask` makes the fields that carry prompt and model; `ended` says of a stream whether it ended well.

    `of_event` and `of_body` give what an event or a whole body says was generated; `code` is an error's.
    """

    path: str
    ask: Callable[[str, str], Json]
    ended: Callable[[bytes | bytearray], bool]
    of_event: Callable[[Json], str]
    of_body: Callable[[Json], str]
    code: Callable[[Json], str | None]

    def question(self, tag: str, cues: str, model: str, *, stream: bool) -> bytes:
        """A request that the provider's book and the gateway's ledger both know by `tag`."""
        prompt = f"[tag={tag}] {cues} Tell me about the market."
        return msgspec.json.encode({**self.ask(prompt, model), "stream": stream, MARK + tag: 1})

    def streamed_text(self, body: bytes) -> str:
        """All that was generated and has come whole: reasoning, content, tool calls, in that order of arrival."""
        return "".join(map(self.of_event, events(body)))

    def streamed_code(self, body: bytes) -> str | None:
        """Why a stream ended otherwise than well, when its last event says so."""
        found = list(events(body))
        return self.code(found[-1]) if found and body.endswith(b"\n\n") and not self.ended(body) else None


def events(body: bytes) -> Iterator[Json]:
    """The data of each whole event of a stream; pings have some too, `[DONE]` and comments have none."""
    for block in body.split(b"\n\n")[:-1]:
        for line in block.split(b"\n"):
            if line.startswith(b"data: {"):
                yield msgspec.json.decode(line.removeprefix(b"data: "))


def _turn(prompt: str, model: str) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": prompt}]}


def _chat_parts(chunk: Json) -> str:
    text = ""
    for choice in chunk.get("choices") or ():
        part = choice.get("delta") or choice.get("message") or {}
        text += (part.get("reasoning_content") or "") + (part.get("content") or "")
        for call in part.get("tool_calls") or ():
            text += call["function"].get("name", "") + call["function"]["arguments"]
    return text


def _error_code(event: Json) -> str | None:
    error = event.get("error")
    return error["code"] if error else None


CHAT: Final = Surface(
    "/v1/chat/completions",
    _turn,
    lambda body: body.endswith(b"data: [DONE]\n\n"),
    _chat_parts,
    _chat_parts,
    _error_code,
)


def _response_delta(event: Json) -> str:
    if event["type"] == "response.output_item.added":
        return str(event["item"].get("name") or "")
    return str(event["delta"]) if event["type"].endswith(".delta") else ""


def _response_text(body: Json) -> str:
    said = [part["text"] for item in body["output"] for part in item.get("content") or ()]
    called = [item["name"] + item["arguments"] for item in body["output"] if item["type"] == "function_call"]
    return "".join(said + called)


def _response_ended(body: bytes | bytearray) -> bool:
    last = body.rfind(b"\n\n", 0, -2) + 2
    return body.endswith(b"\n\n") and body.startswith(RESPONSE_ENDS, last)


RESPONSES: Final = Surface(
    "/v1/responses",
    lambda prompt, model: {"model": model, "input": prompt},
    _response_ended,
    _response_delta,
    _response_text,
    lambda event: _error_code(event.get("response") or event),
)


def _message_delta(event: Json) -> str:
    match event["type"]:
        case "content_block_start":
            return str(event["content_block"].get("name") or "")
        case "content_block_delta":
            delta = event["delta"]
            return str(delta.get("text") or delta.get("thinking") or delta.get("partial_json") or "")
    return ""


def _message_text(body: Json) -> str:
    return "".join(block.get("thinking") or block.get("text") or "" for block in body["content"])


def _message_code(event: Json) -> str | None:
    error = event.get("error")
    return error["details"]["error_code"] if error else None


MESSAGES: Final = Surface(
    "/v1/messages",
    lambda prompt, model: {**_turn(prompt, model), "max_tokens": ROOM},
    lambda body: body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
    _message_delta,
    _message_text,
    _message_code,
)
TWINS: Final = tuple(replace(MESSAGES, path=path) for path in ("/v1/v1/messages", "/anthropic/v1/messages"))
SURFACES: Final = (CHAT, RESPONSES, MESSAGES, *TWINS)
