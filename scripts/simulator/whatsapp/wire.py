"""The simulator as a client: how a webhook is posted, and how it can end."""

from __future__ import annotations

import select
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

import h11
import trio

#: Connections to one host that are kept for the next request.
KEPT: Final = 128
READ_BYTES: Final = 64 * 1024
LARGEST_REPLY: Final = 128 * 1024 * 1024
#: A gateway on this machine may show a certificate that it has signed itself.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_FAILURES: Final = (OSError, ValueError, trio.BrokenResourceError, trio.TooSlowError, h11.ProtocolError)


class Outgoing(NamedTuple):
    """A request; a body makes it a POST."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float


class Reply(NamedTuple):
    """`failure`: it could not connect, or it broke or timed out later; then `status` is 0."""

    status: int
    body: bytes = b""
    media_type: str = ""
    failure: Literal["", "ct", "rt"] = ""


#: Sends a request and never raises but Cancelled.
Sender = Callable[[Outgoing], Awaitable[Reply]]


@dataclass(slots=True)
class _Connection:
    """`stream` speaks over `sock`: TLS, or `sock` itself."""

    sock: trio.SocketStream
    stream: trio.abc.Stream
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    def close(self) -> None:
        self.sock.socket.close()

    def is_quiet(self) -> bool:
        """False when the host has closed it meanwhile."""
        return not select.select([self.sock.socket], [], [], 0)[0]

    def may_stay(self) -> bool:
        """Whether another request can follow on it; makes it ready for that."""
        if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        return True

    async def ask(self, outgoing: Outgoing, url: SplitResult) -> Reply:
        """Raises one of `_FAILURES`."""
        body = outgoing.body or b""
        headers = [("host", url.netloc), *outgoing.headers.items(), ("content-length", str(len(body)))]
        target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
        method = "GET" if outgoing.body is None else "POST"
        events = (h11.Request(method=method, target=target, headers=headers), h11.Data(body), h11.EndOfMessage())
        await self.stream.send_all(b"".join(self.http.send(event) or b"" for event in events))
        head, found = h11.Response(status_code=500, headers=[]), bytearray()
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                found += event.data
                if len(found) > LARGEST_REPLY:
                    raise ValueError("the reply is too large")
        return Reply(head.status_code, bytes(found), dict(head.headers).get(b"content-type", b"").decode("latin1"))

    async def _next(self) -> h11.Event:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(bytes(await self.stream.receive_some(READ_BYTES)))
        if isinstance(event, type | h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the host has closed")
        return event


class _Wire:
    def __init__(self) -> None:
        self._idle: defaultdict[tuple[str, str], list[_Connection]] = defaultdict(list)

    async def send(self, outgoing: Outgoing) -> Reply:
        connection: _Connection | None = None
        stays = False
        try:
            with trio.fail_after(outgoing.timeout_s):
                url = urlsplit(outgoing.url)
                idle = self._idle[url.scheme, url.netloc]
                connection = self._kept(idle) or await _connect(url)
                reply = await connection.ask(outgoing, url)
                stays = connection.may_stay() and len(idle) < KEPT
                if stays:
                    idle.append(connection)
                return reply
        except _FAILURES:
            return Reply(0, failure="ct" if connection is None else "rt")
        finally:
            if connection is not None and not stays:
                connection.close()

    def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()

    def _kept(self, idle: list[_Connection]) -> _Connection | None:
        while idle:
            connection = idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()
        return None


async def _connect(url: SplitResult) -> _Connection:
    """Raises OSError, ValueError."""
    host, tls = url.hostname or "", url.scheme == "https"
    sock = await trio.open_tcp_stream(host, url.port or (443 if tls else 80))
    if not tls:
        return _Connection(sock, sock)
    context = ssl.create_default_context()
    if host in LOOPBACK:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream = trio.SSLStream(sock, context, server_hostname=host, https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return _Connection(sock, stream)


@asynccontextmanager
async def open_wire() -> AsyncIterator[Sender]:
    """A sender over real sockets. No redirect is followed, no proxy asked."""
    wire = _Wire()
    try:
        yield wire.send
    finally:
        wire.close()
