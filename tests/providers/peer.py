"""A provider's host that does exactly what a test says, one connection at a time or many."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Peer:
    """What the host has seen. `hung_up` is set when a client closed a connection that the host still held open."""

    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    hung_up: trio.Event = field(default_factory=trio.Event)


class Line:
    """One connection at the host."""

    def __init__(self, stream: trio.SocketStream, peer: Peer) -> None:
        self.stream = stream
        self.peer = peer
        self._unread = b""

    async def request(self) -> bytes:
        """The next whole request; ends the host's part when the client closes instead."""
        while b"\r\n\r\n" not in self._unread:
            await self._more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(self._unread) < length:
            await self._more()
        body, self._unread = self._unread[:length], self._unread[length:]
        self.peer.requests.append(head + b"\r\n\r\n" + body)
        return self.peer.requests[-1]

    async def send(self, data: bytes) -> None:
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError:
            self.peer.hung_up.set()
            raise

    async def hold(self) -> None:
        """Say nothing more until the client hangs up."""
        with suppress(trio.BrokenResourceError):
            while await self.stream.receive_some():
                pass
        self.peer.hung_up.set()

    async def reset(self) -> None:
        """Close with RST."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.stream.socket.close()

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        if not data:
            raise trio.EndOfChannel
        self._unread += data


Act = Callable[[Line], Awaitable[None]]


async def answer_ok(line: Line) -> None:
    """Answer `ok` to every request."""
    while True:
        await line.request()
        await line.send(OK)


@asynccontextmanager
async def open_peer(act: Act = answer_ok, **tls: Any) -> AsyncIterator[Peer]:
    """Run `act` for each connection; the connection closes when it returns. `tls`: `ssl_context` for TLS."""
    peer = Peer()

    async def serve(stream: Any) -> None:
        peer.connections += 1
        with suppress(trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            await act(Line(stream, peer))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            run = (
                partial(trio.serve_ssl_over_tcp, serve, 0, tls["ssl_context"], host="127.0.0.1")
                if tls
                else partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
            )
            listeners: Any = await nursery.start(run)
            listener = listeners[0].transport_listener if tls else listeners[0]
            peer.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.socket.getsockname()[1]}"
            yield peer
            nursery.cancel_scope.cancel()
