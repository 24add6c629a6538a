"""One HTTP/1.1 connection to an upstream: h11 decides, a Trio stream moves the bytes, one write asks.

No lock, task, timer or generator per request: an answer is read by whoever asked, and deadlines are the caller's.
`docs/decisions/0002-upstream-on-h11.md` says why this is not a client library.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from typing import Final

import h11
import trio

from app.providers.body import StreamedBody

READ_BYTES: Final = 64 * 1024
HEAD_CAP: Final = 64 * 1024
Headers = list[tuple[bytes, bytes]]


class WireBroken(Exception):
    """The peer closed, reset or broke the protocol in the middle of an exchange."""


class Connection:
    """Use it for one exchange at a time: `ask`, `receive` until b"", then `reuse` it or close it."""

    __slots__ = ("_clear_text", "_h11", "_stream", "idle_since")

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        #: Without TLS the socket is used as it is: a write that fits is one system call and no task switch.
        self._clear_text = None if isinstance(stream, trio.SSLStream) else stream.socket.fileno()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_CAP)
        self.idle_since = 0.0

    async def ask(
        self, method: bytes, target: bytes, headers: Headers, body: bytes | StreamedBody
    ) -> tuple[int, Headers]:
        """Send a whole request and wait for the head of its answer. Raises WireBroken; cancel leaves it unusable."""
        head = self._h11.send(h11.Request(method=method, target=target, headers=headers)) or b""
        with suppress(trio.BrokenResourceError):  # It may have answered before it stopped reading.
            if isinstance(body, bytes):
                data = self._h11.send(h11.Data(data=body)) if body else b""
                self._h11.send(h11.EndOfMessage())
                await self._write(head + (data or b""))
            else:
                await self._upload(head, body)
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                return event.status_code, list(event.headers)
            if not isinstance(event, h11.InformationalResponse):
                raise WireBroken("closed without an answer")

    async def receive(self) -> bytes:
        """All of the body that is here by now, waiting only when nothing is; b"" at its end. Raises WireBroken."""
        pieces: list[bytes] = []
        while self._h11.their_state is h11.SEND_BODY:
            try:
                event = self._event_at_hand() if pieces else await self._next_event()
            except WireBroken:
                if pieces:
                    break
                raise
            if not isinstance(event, h11.Data):
                break
            pieces.append(bytes(event.data))
        return b"".join(pieces)

    def ended(self) -> bool:
        """Whether the body's end is here already; takes in what is. Never waits. Raises WireBroken."""
        while self._h11.their_state is h11.SEND_BODY and self._event_at_hand() is not None:
            pass
        return self._h11.their_state is h11.DONE

    def reuse(self) -> bool:
        """Make ready for another exchange; False when this one left anything behind."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE or self._h11.trailing_data[0]:
            return False
        self._h11.start_next_cycle()
        return True

    @property
    def gone(self) -> bool:
        """Whether an idle connection has anything to read: then the peer has closed it."""
        stream = self._stream
        transport = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        return transport.socket.is_readable()

    async def aclose(self) -> None:
        """Close the socket at once, without TLS farewells."""
        await trio.aclose_forcefully(self._stream)

    def _event_at_hand(self) -> object:
        """The next event of bytes that are here, else None."""
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise WireBroken(str(error)) from None
        return None if event is h11.NEED_DATA else event

    async def _next_event(self) -> object:
        while True:
            try:
                event = self._h11.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._h11.receive_data(await self._read())
            except (trio.BrokenResourceError, OSError, h11.RemoteProtocolError) as error:
                raise WireBroken(str(error) or repr(error.__cause__)) from None

    async def _upload(self, head: bytes, body: StreamedBody) -> None:
        """Send piece by piece, until a peer that has seen enough answers or closes: then nothing more is sent."""
        sent = 0
        while piece := await body.read(sent):
            await self._write(head + (self._h11.send(h11.Data(data=piece)) or b""))
            head, sent = b"", sent + len(piece)
            if self._clear_text is not None and self.gone:  # under TLS what is there to read may be a session ticket
                return
        self._h11.send(h11.EndOfMessage())

    async def _write(self, data: bytes) -> None:
        if self._clear_text is not None:
            try:
                data = data[os.write(self._clear_text, data) :]
            except BlockingIOError:
                pass
            except OSError:
                return
        if data:
            await self._stream.send_all(data)

    async def _read(self) -> bytes:
        if self._clear_text is None:
            return bytes(await self._stream.receive_some(READ_BYTES))
        while True:
            await trio.lowlevel.wait_readable(self._clear_text)
            with suppress(BlockingIOError):
                return os.read(self._clear_text, READ_BYTES)


async def open_connection(host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
    """Connect, with TLS when given a context. Raises OSError; the caller sets the deadline."""
    return await begin(await trio.open_tcp_stream(host, port), host, tls)


async def begin(stream: trio.SocketStream, host: str, tls: ssl.SSLContext | None) -> Connection:
    """The connection over a stream that leads to `host`. Raises OSError, having closed the stream, if TLS fails."""
    if tls is None:
        return Connection(stream)
    secure = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, trio.BrokenResourceError):
            raise OSError(f"TLS handshake failed: {error.__cause__}") from None
        raise
    return Connection(secure)
