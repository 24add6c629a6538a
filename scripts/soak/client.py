"""One call over a raw socket, by a client that may leave at any byte, or stop reading: what it got to know."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec
import trio

from scripts.bench.questions import HOST, Door, request
from scripts.bench.responses import ResponseReader, StreamReader
from scripts.soak.asks import Ask

READ_BYTES: Final = 64 * 1024
TINY_BUFFER: Final = 2048
#: Longer than the gateway waits for a client that does not read.
STUCK_S: Final = 6.0
#: No call of the crowd takes longer, unless the gateway leaves its client waiting.
PATIENCE_S: Final = 60.0
#: SO_LINGER on, 0 seconds: closing sends RST.
_RESET: Final = struct.pack("ii", 1, 0)


class _Error(msgspec.Struct):
    code: str | None = None


class _Envelope(msgspec.Struct):
    error: _Error


@dataclass(slots=True)
class Told:
    """What a client knows when its call is over for it. Times are Trio's clock."""

    ask: Ask
    began: float
    ended: float = 0.0
    status: int = 0
    call_id: str = ""
    #: Of an error answer, or of an error inside a stream.
    code: str = ""
    saw_end: bool = False
    #: It went away, or read no more, before the end.
    left: bool = False
    #: The gateway closed before the end of the answer.
    broken: bool = False
    unanswered: bool = False

    def __str__(self) -> str:
        ask = self.ask
        form = "stream" if ask.streamed else "JSON"
        took = f"{self.status} {self.code} after {self.ended - self.began:.2f} s"
        return f"{ask.tag} {ask.model} {form} {ask.cues} {ask.manner} at byte {ask.cut_at}: {took}, call {self.call_id}"


@dataclass(slots=True)
class Client:
    """A connection to one door, for one call after the other. Close it."""

    sock: trio.socket.SocketType
    door: Door
    is_open: bool = True
    used_at: float = 0.0

    async def call(self, ask: Ask) -> Told:
        told = Told(ask, trio.current_time())
        answer = _Answer(ask, told)
        payload = request(self.door, ask.body())
        try:
            if ask.manner == "leaves in request":
                payload = payload[: ask.cut_at % len(payload)]
                told.left = True
            told.unanswered = not await self._talk(ask, answer, payload)
        except (OSError, ValueError):
            self.is_open = False
        told.ended = self.used_at = trio.current_time()
        answer.conclude()
        if not (told.saw_end and self.is_open and ask.keeps and answer.http.keeps_open):
            self.close(resets=told.left and ask.resets)
        return told

    def close(self, *, resets: bool = False) -> None:
        self.is_open = False
        if resets:
            with suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.close()

    async def _talk(self, ask: Ask, answer: _Answer, payload: bytes) -> bool:
        """False when the gateway took too long."""
        waits_s = PATIENCE_S if ask.waits_s is None else ask.waits_s
        with trio.move_on_after(waits_s) as stay:
            while payload:
                payload = payload[await self.sock.send(payload) :]
            if not answer.told.left:
                await self._hear(ask, answer)
        if stay.cancelled_caught and ask.waits_s is not None:
            answer.told.left = True
            return True
        return not stay.cancelled_caught

    async def _hear(self, ask: Ask, answer: _Answer) -> None:
        left = ask.cut_at if ask.manner in {"leaves", "stuck"} else None
        while not answer.http.done and (left is None or left > 0):
            data = await self.sock.recv(READ_BYTES if left is None else min(left, READ_BYTES))
            if not data:
                self.is_open = False
                return
            left = None if left is None else left - len(data)
            answer.feed(data)
        if not answer.http.done:
            answer.told.left = True
            if ask.manner == "stuck":
                await trio.sleep(STUCK_S)


@dataclass(slots=True)
class _Answer:
    ask: Ask
    told: Told
    http: ResponseReader = field(default_factory=ResponseReader)
    stream: StreamReader = field(default_factory=StreamReader)
    body: bytes = b""

    @property
    def is_stream(self) -> bool:
        return self.http.headers.get("content-type", "").startswith("text/event-stream")

    def feed(self, data: bytes) -> None:
        body = self.http.feed(data)
        if self.is_stream:
            self.stream.feed(body)
        else:
            self.body += body

    def conclude(self) -> None:
        """Read off what the whole of it says."""
        told = self.told
        told.status = self.http.status
        told.call_id = self.http.headers.get("x-generation-id", "")
        if self.is_stream:
            told.saw_end = self.stream.done and self.stream.error is None
            if self.stream.error is not None:
                told.code = _code(b'{"error":%s}' % self.stream.error.encode())
        elif self.http.done:
            told.saw_end = told.status == 200
            told.code = "" if told.saw_end else _code(self.body)
        told.broken = not (self.http.done or told.left or told.unanswered)


async def connect(door: Door, *, tiny: bool) -> Client:
    """A new connection; `tiny` for one that will hold next to nothing. Raises OSError."""
    sock = trio.socket.socket()
    try:
        if tiny:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await sock.connect((HOST, door.port))
    except BaseException:
        sock.close()
        raise
    return Client(sock, door)


def _code(body: bytes) -> str:
    """The code of an error object; `?` when there is none to be read."""
    try:
        return msgspec.json.decode(body, type=_Envelope).error.code or "?"
    except msgspec.DecodeError:
        return "?"
