"""Backends for a balancer that do exactly what a test tells them, and the balancer in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from scripts.clustering.backends import GONE, Backends
from scripts.clustering.balancer import run_balancer

TEST_S: Final = 10.0
PROBE: Final = b"GET /readyz "


@dataclass
class Replica:
    """Answers probes with `status`. Any other connection is greeted with the name, then echoed to its end."""

    name: str
    status: int = 200
    url: str = ""
    connections: int = 0
    probes: list[bytes] = field(default_factory=list)
    open: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(*GONE):
            data = bytes(await stream.receive_some())
            if data.startswith((PROBE, b"GET /healthz ")):
                self.probes.append(data.split(b" ")[1])
                status = 200 if data.startswith(b"GET /healthz ") else self.status
                await stream.send_all(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
                return
            self.connections += 1
            self.open += 1
            try:
                await stream.send_all(self.name.encode() + b":")
                while data:
                    await stream.send_all(data)
                    data = bytes(await stream.receive_some())
                await stream.send_all(b".")
            finally:
                self.open -= 1


@asynccontextmanager
async def open_replica(name: str, status: int = 200) -> AsyncIterator[Replica]:
    """A backend that serves until the block ends; then its address refuses connections."""
    replica = Replica(name, status)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        replica.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        await nursery.start(trio.serve_listeners, replica.serve, listeners)
        yield replica
        nursery.cancel_scope.cancel()


@dataclass(frozen=True)
class Balancer:
    port: int
    backends: Backends

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def greeted_by(self) -> str:
        """The name of the backend that a new client reaches."""
        before = self.connections
        async with await self.connect() as client:
            await client.send_all(b"x")
            name = (await until(client, b":x"))[:-2].decode()
        await eventually(lambda: self.connections == before)
        return name

    @property
    def connections(self) -> int:
        return sum(each.connections for each in self.backends.all())

    async def state(self, url: str, wanted: str) -> None:
        """Wait until the balancer believes this of a backend."""
        await eventually(lambda: {each.url: each.state for each in self.backends.all()}[url] == wanted)


@asynccontextmanager
async def open_balancer(*urls: str) -> AsyncIterator[Balancer]:
    """A balancer on a free port. Everything in the block has ten seconds together."""
    backends = Backends(*urls)

    async def run(task_status: trio.TaskStatus[int]) -> None:
        await run_balancer(backends, host="127.0.0.1", port=0, task_status=task_status)

    with trio.fail_after(TEST_S):
        async with trio.open_nursery() as nursery:
            port: Any = await nursery.start(run)
            yield Balancer(port, backends)
            nursery.cancel_scope.cancel()


async def eventually(is_so: Callable[[], bool]) -> None:
    """For what has no event to wait for; the caller has the deadline."""
    while not is_so():  # noqa: ASYNC110
        await trio.sleep(0.01)


async def until(stream: trio.SocketStream, mark: bytes) -> bytes:
    """Everything up to and including `mark`."""
    seen = b""
    while mark not in seen:
        data = await stream.receive_some()
        assert data, f"closed before {mark!r}: {seen!r}"
        seen += data
    return seen


async def rest(stream: trio.SocketStream) -> bytes:
    seen = b""
    while data := await stream.receive_some():
        seen += data
    return seen
