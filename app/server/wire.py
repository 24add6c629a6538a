"""One accepted socket: bytes in until a deadline, bytes out within a deadline, and as few task switches as can be."""

from __future__ import annotations

import socket
from contextlib import suppress
from math import inf
from typing import Final

import trio

READ_SIZE: Final = 64 * 1024
AHEAD_SIZE: Final = 64 * 1024
CLOSE_S: Final = 1.0
LAST_WRITE_S: Final = 0.25

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
Gone = (trio.BrokenResourceError, trio.ClosedResourceError)


class Wire:
    """One task reads; any task writes. Neither raises when the peer is gone: reading says `b""`, writing does nothing.

    A clear-text write tries the socket at once. Only what does not fit waits: shielded, because half a frame breaks the
    connection for all its streams, and with a deadline, because a peer that does not read must not hold us. So a write
    that fits is no checkpoint: `apps` makes producers take turns.
    """

    def __init__(self, sock: socket.socket, stream: Stream, write_deadline_s: float) -> None:
        self.ahead = b""
        self.is_broken = False
        self._sock = sock
        self._stream = stream
        self._is_tls = isinstance(stream, trio.SSLStream)
        self._write_deadline_s = write_deadline_s
        self._writing = trio.Lock()
        self._write_scope = trio.CancelScope()
        self._head = b""
        self._deadline = inf
        self._read_scope = trio.CancelScope()
        self._reading = False

    @property
    def deadline(self) -> float:
        """When reading gives up, on Trio's clock; `inf` while a request runs."""
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = value
        if self._reading:
            self._read_scope.deadline = value

    async def receive(self) -> bytes | None:
        """The next bytes; `b""` when the peer is gone or the deadline has passed; None when woken for nothing.

        What was read ahead comes first.
        """
        if self.ahead:
            data, self.ahead = self.ahead, b""
            return data
        return await self._receive()

    async def read_ahead(self) -> bool:
        """Read what is not wanted yet, at most 64 KiB, to see a hang-up behind it. False when the peer is gone.

        Past that size it only waits for `wake`: then a hang-up is seen at the next write.
        """
        data = await self._receive(READ_SIZE if len(self.ahead) < AHEAD_SIZE else 0)
        if data:
            self.ahead += data
        return data != b""

    async def _receive(self, size: int = READ_SIZE) -> bytes | None:
        data: bytes | None = None
        with trio.CancelScope(deadline=self._deadline) as self._read_scope:
            self._reading = True
            try:
                if size:
                    data = bytes(await self._stream.receive_some(size))
                else:
                    await trio.sleep_forever()
            except Gone:
                data = b""
            finally:
                self._reading = False
        if self._head:
            await self.write(b"")
        if data is None and trio.current_time() >= self._deadline:
            return b""
        return data

    def wake(self) -> None:
        """Make a `receive` or `read_ahead` that waits return now."""
        if self._reading:
            self._read_scope.cancel()

    async def write_head(self, head: bytes) -> None:
        """Write a response head, together with the first bytes of the body if they come without a pause.

        The reader is waiting in its scope, so that scope is the timer: its deadline moves to "now", and Trio looks at
        deadlines only after every task that can run has had its turn. An app that goes on to send its body has joined
        the two by then and the deadline is moved back; for an app that waits, the reader wakes and sends the head. No
        task, no delay. When nobody waits there (the request body is still being taken) the head leaves alone.
        """
        if self._reading and not self.is_broken:
            self._head = head
            self._read_scope.deadline = -inf
        else:
            await self.write(head)

    async def write(self, data: bytes) -> None:
        """Hand bytes to the system within the deadline, or break the connection. Not interrupted by a cancel."""
        if self._head:
            data, self._head = self._head + data, b""
            if self._reading:
                self._read_scope.deadline = self._deadline
        if not data or self.is_broken:
            return
        try:
            sent = self._write_now(data)
        except OSError:
            await self.break_off()
            return
        if sent < len(data):
            await self._write_rest(data[sent:])

    def _write_now(self, data: bytes) -> int:
        """How many bytes left without waiting. Nobody may overtake a writer that waits."""
        if self._is_tls or self._writing.locked():
            return 0
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    async def _write_rest(self, data: bytes) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._write_deadline_s) as scope:
            async with self._writing:
                self._write_scope = scope
                try:
                    await self._stream.send_all(data)
                except Gone:
                    pass
                else:
                    return
        await self.break_off()

    async def break_off(self) -> None:
        """Close without a word; whoever reads or writes sees it at once."""
        self.is_broken = True
        await trio.aclose_forcefully(self._stream)

    def cut(self) -> None:
        """From now on hardly anything waits for this peer: a write that does not fit soon breaks the connection."""
        self._write_deadline_s = LAST_WRITE_S
        self._write_scope.deadline = -inf

    def end_writing(self) -> bool:
        """Tell the peer that nothing follows. False where that cannot be told apart from closing (TLS)."""
        if self._is_tls:
            return False
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        return True

    async def close(self) -> None:
        """Close; TLS says goodbye if the peer lets it."""
        with trio.move_on_after(CLOSE_S):
            await self._stream.aclose()
