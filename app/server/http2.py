"""Hypercorn's HTTP/2 where it needs a change: it survives its peers, and its end loses no stream."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio
from h2.errors import ErrorCodes
from h2.events import Event as FrameEvent
from h2.events import RequestReceived, StreamReset
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, Updated
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
from hypercorn.trio.worker_context import EventWrapper, WorkerContext


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
    """HTTP/2 where late DATA hurts nobody, nothing piles up, no stream hangs, and the end loses no stream.

    An answer that broke off is reset; so is a stream whose peer grants it no window for `patience_s`.

    While the server drains the connection ends at the first moment without a stream, by a GOAWAY that names the last
    one begun: clients send later ones again elsewhere, on their own. GOAWAY never goes out beside a running stream,
    although RFC 9113 (6.8) provides for it: clients built on python-hyper/h2, such as httpx, drop what runs when they
    see it (its #1181).
    """

    def __init__(self, draining: trio.Event, patience_s: float, *wiring: Any) -> None:
        super().__init__(*wiring)
        self.streams = OpenStreams()
        self.stream_buffers = BoundedBuffers()
        # Hypercorn's own end resets streams as if they had been answered, and its GOAWAY may name one of those.
        self.context = WorkerContext(None)
        self._draining = draining
        self._patience_s = patience_s
        self._last_stream: int | None = None

    def begin_no_more(self) -> None:
        """Streams that come from now on wait for GOAWAY: httpx takes a REFUSED_STREAM for a failure of the call."""
        if self._last_stream is None:
            self._last_stream = self.connection.highest_inbound_stream_id

    async def end_if_idle(self) -> None:
        """Say GOAWAY and close, unless a stream runs. A stream's buffer outlives it until its last frame has left."""
        if self.streams or self.stream_buffers or self.closed:
            return
        self.begin_no_more()
        with suppress(ProtocolError):  # the peer has said it already
            self.connection.close_connection(last_stream_id=self._last_stream)
        await self._flush()
        await self.send(Closed())

    async def stream_send(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            await self._reset_unfinished(event.stream_id, ErrorCodes.INTERNAL_ERROR)
        with trio.move_on_after(self._patience_s) as scope:
            await super().stream_send(event)
        if scope.cancelled_caught:
            await self._reset_unfinished(event.stream_id, ErrorCodes.CANCEL)
            await super().stream_send(StreamClosed(event.stream_id))
        if self._draining.is_set():
            await self.end_if_idle()

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        if self._draining.is_set():
            await self.end_if_idle()

    async def _handle_events(self, events: list[FrameEvent]) -> None:
        if self._last_stream is not None:
            events = [event for event in events if not isinstance(event, RequestReceived)]
        await super()._handle_events(events)
        if any(isinstance(event, StreamReset) for event in events):
            await self.send(Updated(idle=self.idle))  # Hypercorn forgets: the connection would never be idle again
            if self._draining.is_set():
                await self.end_if_idle()

    async def _reset_unfinished(self, stream_id: int, code: ErrorCodes) -> None:
        buffer = self.stream_buffers.get(stream_id)
        if buffer is None or buffer.complete or self.closed:
            return
        await buffer.close()
        with suppress(ProtocolError):  # the peer was faster
            self.connection.reset_stream(stream_id, code)
        await self._flush()
        await self._window_updated(stream_id)  # the sending task wakes and takes the buffer away
