"""A receiver of webhooks as a customer runs one, on loopback: it answers as it is told and checks what it was sent."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tests.e2e.calling import until
from tests.providers.peer import OK, Line, Peer, open_peer

ERROR: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops"
REDIRECT: Final = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
#: Says nothing, and waits until the sender gives up.
SILENCE: Final = b""


@dataclass(frozen=True, slots=True)
class Received:
    """One request; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def delivery_id(self) -> str:
        return self.headers["x-callmissed-delivery"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = msgspec.json.decode(self.body)
        return event

    def is_signed(self, secret: str, header: str = "x-callmissed-signature") -> bool:
        expected = f"sha256={hmac.digest(secret.encode(), self.body, 'sha256').hex()}"
        return hmac.compare_digest(self.headers.get(header, ""), expected)


@dataclass
class Receiver:
    """`answers` are given in turn, then the last one for ever."""

    peer: Peer
    answers: list[bytes]

    @property
    def url(self) -> str:
        return f"{self.peer.url}/hook?of=acme"

    @property
    def received(self) -> list[Received]:
        return [_read(request) for request in self.peer.requests]

    async def gets(self, count: int, within_s: float = 5.0) -> list[Received]:
        """Wait for so many requests in all."""

        async def enough() -> bool:
            return len(self.peer.requests) >= count

        await until(enough, within_s)
        return self.received


@asynccontextmanager
async def open_receiver(*answers: bytes) -> AsyncIterator[Receiver]:
    """Without `answers` everything is well received."""
    told = list(answers or (OK,))

    async def act(line: Line) -> None:
        await line.request()
        answer = told.pop(0) if len(told) > 1 else told[0]
        if answer:
            await line.send(answer)
        else:
            await line.hold()

    async with open_peer(act) as peer:
        yield Receiver(peer, told)


def _read(request: bytes) -> Received:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    parts = (line.partition(": ") for line in lines)
    return Received(first.split(" ")[1], {name.lower(): value for name, _, value in parts}, body)
