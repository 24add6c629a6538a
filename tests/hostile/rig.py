"""A real server on loopback, and clients that send exactly the bytes they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded

from app.server import ServerSettings, serve
from tests.hostile.misbehave import Diary, Hostile

TEST_S: Final = 10.0


@dataclass
class Server:
    app: Hostile
    url: str
    shutdown: trio.Event
    hurry: trio.Event
    ended: trio.Event
    cancel: Callable[[], None]

    @property
    def diary(self) -> Diary:
        return self.app.diary

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def connect(self) -> Peer:
        return Peer(await trio.open_tcp_stream("127.0.0.1", self.port))

    async def connect_h2(self) -> H2Peer:
        peer = H2Peer(await trio.open_tcp_stream("127.0.0.1", self.port))
        await peer.flush()
        return peer

    async def is_well(self) -> bool:
        """A new client is served."""
        async with await self.connect() as peer:
            await peer.request("/ok")
            return (await peer.until(b"ok 0")).startswith(b"HTTP/1.1 200")


class Peer:
    """A client on one connection that sends exactly what it is told."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def request(self, path: str, body: bytes = b"", method: str = "POST") -> None:
        await self.send(request(path, body, method))

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`."""
        seen = b""
        while mark not in seen:
            data = await self.stream.receive_some()
            assert data, f"closed before {mark!r}: {seen!r}"
            seen += data
        return seen

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        seen = b""
        while data := await self.stream.receive_some():
            seen += data
        return seen

    async def is_closed(self) -> bool:
        """Waits for the end of the connection, be it rude or polite."""
        with suppress(trio.BrokenResourceError):
            await self.rest()
        return True


def request(path: str, body: bytes = b"", method: str = "POST") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def frame(kind: int, stream_id: int, payload: bytes) -> bytes:
    """An HTTP/2 frame without flags, whatever state the connection is in."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream_id.to_bytes(4, "big") + payload


class H2Peer(Peer):
    """A client that speaks HTTP/2 frame by frame. `events` keeps everything that came."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.events: list[Event] = []
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()

    async def flush(self) -> None:
        await self.send(self.h2.data_to_send())

    async def open_stream(self, path: str, end_stream: bool = True) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        method = "GET" if end_stream else "POST"
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "x")]
        self.h2.send_headers(stream_id, headers, end_stream=end_stream)
        await self.flush()
        return stream_id

    async def event(self, kind: type[Event], stream_id: int | None = None) -> Event:
        """The first event of that kind (on that stream), whether it came already or comes now."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                if isinstance(event, kind) and stream_id in {None, getattr(event, "stream_id", None)}:
                    return event
            seen = len(self.events)
            await self.read()

    async def read(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"closed after {self.events[-3:]}"
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        await self.flush()

    def body(self, stream_id: int) -> bytes:
        return b"".join(
            event.data or b""
            for event in self.events
            if isinstance(event, DataReceived) and event.stream_id == stream_id
        )

    async def get(self, path: str) -> tuple[int, bytes]:
        stream_id = await self.open_stream(path)
        head = await self.event(ResponseReceived, stream_id)
        await self.event(StreamEnded, stream_id)
        assert isinstance(head, ResponseReceived)
        return int(dict(head.headers or [])[b":status"]), self.body(stream_id)


@asynccontextmanager
async def open_server(**settings: Any) -> AsyncIterator[Server]:
    """The server under test, ended when the block ends. Everything in the block has ten seconds together."""
    app, shutdown, hurry, ended = Hostile(), trio.Event(), trio.Event(), trio.Event()
    options = ServerSettings(**{"port": 0, **settings})

    async def run(scope: trio.CancelScope, task_status: trio.TaskStatus[list[str]]) -> None:
        with scope:
            await serve(app, options, shutdown=shutdown, hurry=hurry, task_status=task_status)
        ended.set()

    with trio.fail_after(TEST_S):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            urls: list[str] = await nursery.start(run, scope)
            yield Server(app, urls[0], shutdown, hurry, ended, scope.cancel)
            nursery.cancel_scope.cancel()
