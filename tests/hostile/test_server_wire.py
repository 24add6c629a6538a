"""How few writes an answer takes, seen at the socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import trio
from trio.testing import wait_all_tasks_blocked

from app.server.wire import Wire


class Recorder:
    """A socket that notes what is handed to the system at once."""

    def __init__(self, sock: socket.socket) -> None:
        self.sends: list[bytes] = []
        self._sock = sock

    def send(self, data: bytes) -> int:
        self.sends.append(data)
        return self._sock.send(data)


@asynccontextmanager
async def open_wire() -> AsyncIterator[tuple[Wire, Recorder]]:
    """A wire whose reader waits, as it does while an application works."""
    ours, theirs = socket.socketpair()
    recorder = Recorder(ours)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    wire = Wire(cast(socket.socket, recorder), stream, 1)

    async def read() -> None:
        while await wire.receive() != b"":
            pass

    with theirs, trio.fail_after(5):
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            yield wire, recorder
            nursery.cancel_scope.cancel()


async def test_a_head_and_the_body_that_follows_at_once_leave_together() -> None:
    async with open_wire() as (wire, recorder):
        await wire.write_head(b"head")
        await wire.write(b"body")
        await wait_all_tasks_blocked()
        assert recorder.sends == [b"headbody"]


async def test_a_head_whose_body_takes_time_leaves_alone_and_only_once() -> None:
    async with open_wire() as (wire, recorder):
        await wire.write_head(b"head")
        await wait_all_tasks_blocked()
        assert recorder.sends == [b"head"]
        await wire.write(b"body")
        assert recorder.sends == [b"head", b"body"]


async def test_an_empty_write_is_no_write_unless_a_head_waits() -> None:
    async with open_wire() as (wire, recorder):
        await wire.write(b"")
        await wire.write_head(b"head")
        await wire.write(b"")
        assert recorder.sends == [b"head"]
