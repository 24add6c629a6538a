"""Raw clients, one request each: they read as much as they are told and leave in ways that no library offers."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h11
import msgspec
import trio

from tests.e2e.surfaces import CHAT, Surface

JSON: Final = "application/json"
READ_BYTES: Final = 64 * 1024
TINY_BUFFER: Final = 2048
#: SO_LINGER on, 0 seconds: closing sends RST.
_RESET: Final = struct.pack("ii", 1, 0)

Farewell = Literal["close", "reset"]


class Ask(NamedTuple):
    """What a client is to send: the arguments of `ask` behind the key."""

    body: bytes
    path: str = CHAT.path
    content_type: str = JSON


class Answer:
    """What has come of an answer. `complete`: its last byte is here, and it ended as its protocol wants."""

    def __init__(self, surface: Surface = CHAT) -> None:
        self.surface = surface
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False

    @property
    def call_id(self) -> str | None:
        return self.headers.get("x-generation-id")

    @property
    def streams(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def saw_end(self) -> bool:
        """The client knows that its call is over and well: the stream's terminal event, or a whole 200 body."""
        return self.surface.ended(self.body) if self.streams else self.status == 200 and self.complete

    @property
    def error_code(self) -> str | None:
        """Why there is no answer: of the reply, or of the event that ended its stream."""
        if self.streams:
            return self.surface.streamed_code(bytes(self.body))
        return self.surface.code(msgspec.json.decode(self.body)) if self.complete and self.status != 200 else None

    def text(self) -> str:
        """All that was generated and has come; of an answer that is one body, only when it is whole."""
        if self.streams:
            return self.surface.streamed_text(bytes(self.body))
        return self.surface.of_body(msgspec.json.decode(self.body)) if self.saw_end else ""


async def _connect(url: str, receive_buffer: int | None) -> trio.socket.SocketType:
    address = urlsplit(url)
    sock = trio.socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await sock.connect((address.hostname, address.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _headers(key: str, body: bytes, content_type: str) -> list[tuple[str, str]]:
    length = str(len(body))
    return [("authorization", f"Bearer {key}"), ("content-length", length), ("content-type", content_type)]


class H1Client:
    """HTTP/1.1 on a connection of its own."""

    #: Sent behind the request: a server that stops reading there does not see the hang-up that follows.
    extra = b""
    receive_buffer: int | None = None

    def __init__(self, sock: trio.socket.SocketType, surface: Surface = CHAT) -> None:
        self.answer = Answer(surface)
        self._sock = sock
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def connect(cls, url: str, surface: Surface = CHAT) -> Self:
        return cls(await _connect(url, cls.receive_buffer), surface)

    def request(self, key: str, body: bytes, path: str | None = None, content_type: str = JSON) -> bytes:
        """The bytes of a request, to the surface's own path when none is given; send them as you like."""
        headers = [("host", "gateway"), *_headers(key, body, content_type)]
        target = path or self.answer.surface.path
        head = self._http.send(h11.Request(method="POST", target=target, headers=headers)) or b""
        data = self._http.send(h11.Data(data=body)) or b""
        self._http.send(h11.EndOfMessage())
        return head + data + self.extra

    async def ask(self, key: str, body: bytes, path: str | None = None, content_type: str = JSON) -> None:
        await self.send(self.request(key, body, path, content_type))

    async def send(self, data: bytes) -> None:
        while data:
            data = data[await self._sock.send(data) :]

    async def read(self, limit: int = READ_BYTES) -> int:
        """Take at most `limit` bytes from the socket; how many came, 0 at the end. Raises OSError on a reset."""
        data = await self._sock.recv(limit)
        self._http.receive_data(data)
        while True:
            event = self._http.next_event()
            match event:
                case h11.Response(status_code=status, headers=headers):
                    self.answer.status = status
                    self.answer.headers = {name.decode(): value.decode() for name, value in headers}
                case h11.Data(data=piece):
                    self.answer.body += piece
                case h11.EndOfMessage():
                    self.answer.complete = True
                    return len(data)
                case h11.InformationalResponse():
                    pass
                case _:
                    return len(data)

    async def read_to_end(self) -> Answer:
        """Up to the byte that tells the client its call is over, or to where the server broke it off."""
        with suppress(OSError, h11.RemoteProtocolError):
            while not (self.answer.saw_end or self.answer.complete) and await self.read():
                pass
        return self.answer

    async def leave(self, farewell: Farewell = "close") -> float:
        """Hang up now; the trio time at which that was done."""
        at = trio.current_time()
        if farewell == "reset":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()
        return at

    def close(self) -> None:
        self._sock.close()


class ExtraByteClient(H1Client):
    """Sends one byte more than its request."""

    extra = b"\n"


class StuckClient(H1Client):
    """Stops reading instead of leaving; its buffer holds next to nothing."""

    receive_buffer = TINY_BUFFER

    async def leave(self, farewell: Farewell = "close") -> float:
        return trio.current_time()


class H2Client:
    """HTTP/2 in clear text by prior knowledge; it leaves by resetting its stream, the connection stays."""

    def __init__(self, sock: trio.socket.SocketType, surface: Surface = CHAT) -> None:
        self.answer = Answer(surface)
        self._sock = sock
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http.initiate_connection()
        self._stream = 0

    @classmethod
    async def connect(cls, url: str, surface: Surface = CHAT) -> Self:
        return cls(await _connect(url, None), surface)

    async def ask(self, key: str, body: bytes, path: str | None = None, content_type: str = JSON) -> None:
        await self._request("POST", path or self.answer.surface.path, _headers(key, body, content_type), body)

    async def get(self, path: str) -> Answer:
        """Another request on the same connection."""
        self.answer = Answer()
        await self._request("GET", path, [], b"")
        return await self.read_to_end()

    async def _request(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self._stream = self._http.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "gateway")]
        self._http.send_headers(self._stream, pseudo + headers, end_stream=not body)
        if body:
            self._http.send_data(self._stream, body, end_stream=True)
        await self._flush()

    async def _flush(self) -> None:
        data = self._http.data_to_send()
        while data:
            data = data[await self._sock.send(data) :]

    async def read(self, limit: int = READ_BYTES) -> int:
        """As `H1Client.read`."""
        data = await self._sock.recv(limit)
        for event in self._http.receive_data(data):
            if getattr(event, "stream_id", self._stream) == self._stream:
                self._take(event)
            if isinstance(event, h2.events.DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        await self._flush()
        return len(data)

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(headers=headers):
                self.answer.headers = {str(name): str(value) for name, value in headers or ()}
                self.answer.status = int(self.answer.headers[":status"])
            case h2.events.DataReceived(data=piece):
                self.answer.body += piece or b""
            case h2.events.StreamEnded():
                self.answer.complete = True

    async def read_to_end(self) -> Answer:
        """As `H1Client.read_to_end`."""
        while not (self.answer.saw_end or self.answer.complete) and await self.read():
            pass
        return self.answer

    async def leave(self, farewell: Farewell = "close") -> float:
        """Reset the stream, in either case; a stream that both sides have ended cannot be reset."""
        at = trio.current_time()
        if not self.answer.complete:
            self._http.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
            await self._flush()
        return at

    def close(self) -> None:
        self._sock.close()
