"""What is asked, and where: the same words for every system, as the bytes of an HTTP/1.1 request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

HOST: Final = "127.0.0.1"
ANSWER_TOKENS: Final = 20
STREAM_PACE: Final = 50
STREAM_TOKENS: Final = 100
#: A stream's length is within this of STREAM_TOKENS, so that streams which began together soon end apart.
STREAM_JITTER: Final = 20


@dataclass(frozen=True, slots=True)
class Door:
    """Where a system answers chat calls on this machine, under which model name, to which key."""

    port: int
    path: str
    model: str
    key: str

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}{self.path}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}


def short_body(door: Door) -> bytes:
    """Asks for one JSON answer, which the upstream gives at once."""
    return _body(door, f"Say something short. [tokens={ANSWER_TOKENS}]", stream=False)


def stream_body(door: Door, line: int, turn: int) -> bytes:
    """Asks for a paced stream; its length depends on the line and on which of the line's calls it is."""
    return _body(door, stream_prompt(line, turn), stream=True)


def stream_prompt(line: int, turn: int) -> str:
    tokens = STREAM_TOKENS - STREAM_JITTER + (7 * line + 11 * turn) % (2 * STREAM_JITTER + 1)
    return f"Tell me a story. [pace={STREAM_PACE}][tokens={tokens}]"


def request(door: Door, body: bytes) -> bytes:
    """The whole request on the wire."""
    headers = {"Host": f"{HOST}:{door.port}", **door.headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {door.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _body(door: Door, prompt: str, *, stream: bool) -> bytes:
    return msgspec.json.encode(
        {"model": door.model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
    )
