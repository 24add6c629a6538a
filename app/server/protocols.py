"""Hypercorn's protocols where they need a change: HTTP/2 that survives its peers, HTTP/1.1 that sees a hang-up."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.h2 import (
    BUFFER_HIGH_WATER,
    BUFFER_LOW_WATER,
    BufferCompleteError,
    H2Protocol,
    StreamBuffer,
)
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.worker_context import EventWrapper

from app.server.wire import Wire


class HungUp(Exception):
    """The peer left while its next request waited for the present one."""


class Pause:
    """h11's "stop reading until this request is answered", put in place of its event, except that we read on.

    One byte after a request (a pipelined one, or a stray line end) pauses h11, and a hang-up behind that byte would go
    unseen until the next write. Waiting here reads ahead instead, in the task that would have waited anyway.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._over = True

    async def clear(self) -> None:
        self._over = False

    async def set(self) -> None:
        """Also called at the end of every request that paused nothing."""
        if not self._over:
            self._over = True
            self._wire.wake()

    def is_set(self) -> bool:
        return self._over

    async def wait(self) -> None:
        """Raises HungUp when the peer is gone before the pause is over."""
        while not self._over:
            if not await self._wire.read_ahead():
                raise HungUp


class Answered(HTTPStream):
    """Stands for any stream that is already over: a closed stream ignores every event."""

    def __init__(self) -> None:
        self.closed = True


class OpenStreams(dict[int, HTTPStream | WSStream]):
    """Streams by id. DATA may arrive on a stream that was answered early; it falls on deaf ears, not on a KeyError."""

    def __missing__(self, stream_id: int) -> HTTPStream:
        return Answered()


class BoundedBuffer(StreamBuffer):
    """What a stream has still to send. Its producer waits while 32 KiB are unsent.

    Hypercorn wakes the producer whenever little was taken, also when nothing was because the peer granted no window:
    then it takes everything an application can produce into memory.
    """

    async def push(self, data: bytes) -> None:
        if self._complete:
            raise BufferCompleteError
        self.buffer += data
        await self._is_empty.clear()
        await self._paused.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class BoundedBuffers(dict[int, StreamBuffer]):
    """Buffers by stream id; whatever is put in, a bounded one is kept."""

    def __setitem__(self, stream_id: int, buffer: StreamBuffer) -> None:
        super().__setitem__(stream_id, BoundedBuffer(EventWrapper))


class SafeH2(H2Protocol):
    """HTTP/2 where late DATA hurts nobody, nothing piles up and no stream hangs.

    An answer that broke off is reset; so is a stream whose peer grants it no window for `patience_s`.
    """

    def __init__(self, patience_s: float, *wiring: Any) -> None:
        super().__init__(*wiring)
        self.streams = OpenStreams()
        self.stream_buffers = BoundedBuffers()
        self._patience_s = patience_s

    async def stream_send(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            await self._reset_unfinished(event.stream_id, ErrorCodes.INTERNAL_ERROR)
        with trio.move_on_after(self._patience_s) as scope:
            await super().stream_send(event)
        if scope.cancelled_caught:
            await self._reset_unfinished(event.stream_id, ErrorCodes.CANCEL)
            await super().stream_send(StreamClosed(event.stream_id))

    async def _reset_unfinished(self, stream_id: int, code: ErrorCodes) -> None:
        buffer = self.stream_buffers.get(stream_id)
        if buffer is None or buffer.complete or self.closed:
            return
        await buffer.close()
        with suppress(ProtocolError):  # the peer was faster
            self.connection.reset_stream(stream_id, code)
        await self._flush()
