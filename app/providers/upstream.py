"""The only way out: one host's connections, a cap in front of them, and a deadline for each phase of a call.

HTTP/1.1 because a cancelled request then closes its connection, which is what makes a provider stop; over HTTP/2 the
stream is not reset (traps.md 17). Leaving the block closes the connection unless the answer was read to its end.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Literal
from urllib.parse import urlsplit

import trio

from app.core.errors import UpstreamError
from app.providers.body import StreamedBody
from app.providers.deadlines import Deadlines, Patience, ReaderLate
from app.providers.wire import Connection, Headers, WireBroken, open_connection

ERROR_BODY_CAP: Final = 64 * 1024
DRAIN_S: Final = 0.1
IDLE_S: Final = 30.0
UNREACHABLE: Final = "The model's provider could not be reached. Nothing was charged; try again."
LATE: Final = "The model's provider did not answer in time. Nothing was charged; try again."
BROKEN: Final = "The model's provider broke off its answer. Nothing was charged; try again."


class Upstream:
    """One provider's host. `base_url` comes from the configuration, never from a request."""

    def __init__(self, base_url: str, *, max_parallel: int = 512, deadlines: Deadlines | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is not an http or https URL")
        self.base_url = base_url.rstrip("/")
        self.deadlines = deadlines or Deadlines()
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._path = parts.path.rstrip("/")
        self._host_header = (b"Host", parts.netloc.rpartition("@")[2].encode())
        self._limiter = trio.CapacityLimiter(max_parallel)
        self._idle: deque[Connection] = deque()

    @property
    def in_flight(self) -> int:
        return self._limiter.borrowed_tokens

    @property
    def idle(self) -> int:
        """Connections that are kept for the next call."""
        return len(self._idle)

    def request(
        self,
        method: bytes,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | StreamedBody,
        first_byte_s: float,
    ) -> Request:
        """An async context manager that gives the `Reply` as soon as its head is in.

        Entering raises UpstreamError when the host cannot be reached, is late, or breaks off; so does leaving when a
        deadline passed inside, with ReaderLate when it was the reader's own. Cancel closes the socket.
        """
        return Request(self, method, self._path + path, [self._host_header, *headers], body, first_byte_s)

    async def aclose(self) -> None:
        """Close the idle connections, all of them even when cancelled; those in use are closed by their users."""
        with trio.CancelScope(shield=True):
            while self._idle:
                await self._idle.pop().aclose()

    async def acquire(self) -> None:
        """Wait for a place among the calls in flight. The caller's deadline runs."""
        try:
            self._limiter.acquire_nowait()  # saves the task switch of an acquire that need not wait
        except trio.WouldBlock:
            await self._limiter.acquire()

    async def connect(self) -> Connection:
        """An idle connection that is still open, else a new one. Raises UpstreamError."""
        now = trio.current_time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < IDLE_S and not connection.gone:
                return connection
            await connection.aclose()
        try:
            with trio.fail_after(self.deadlines.connect_s):
                return await open_connection(self._host, self._port, self._tls)
        except (OSError, trio.TooSlowError) as error:
            raise UpstreamError(
                *("provider_error", UNREACHABLE), retry="other", breaker="count", detail=repr(error)
            ) from None

    async def release(self, connection: Connection | None, *, reuse: bool) -> None:
        """Give the place back, and the connection for another call or to be closed."""
        self._limiter.release()
        if connection is None:
            return
        if reuse and connection.reuse():
            connection.idle_since = trio.current_time()
            self._idle.append(connection)
            if connection.idle_since - self._idle[0].idle_since > IDLE_S:
                connection = self._idle.popleft()
            else:
                return
        with trio.CancelScope(shield=True):
            await connection.aclose()


class Request:
    """One upstream call from asking to giving the connection back."""

    __slots__ = ("_ask", "_connection", "_patience", "_upstream")

    def __init__(
        self,
        upstream: Upstream,
        method: bytes,
        target: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | StreamedBody,
        first_byte_s: float,
    ) -> None:
        self._upstream = upstream
        length = len(body) if isinstance(body, bytes) else body.length
        self._ask = (method, target.encode(), [*headers, (b"Content-Length", b"%d" % length)], body)
        self._patience = Patience(upstream.deadlines, first_byte_s)
        self._connection: Connection | None = None

    async def __aenter__(self) -> Reply:
        self._patience.begin()
        try:
            await self._upstream.acquire()
            try:
                self._connection = await self._upstream.connect()
                status, headers = await self._connection.ask(*self._ask)
            except BaseException:
                await self._upstream.release(self._connection, reuse=False)
                raise
        except WireBroken as error:
            self._patience.end(None)
            raise UpstreamError(
                *("provider_error", UNREACHABLE), retry="once", breaker="count", detail=str(error)
            ) from None
        except BaseException as error:
            if self._patience.end(error):
                raise self._late() from None
            raise
        self._patience.rest()
        return Reply(status, headers, self._connection, self._patience)

    @property
    def asked(self) -> bool:
        """Whether the host may have had any of the question: False as long as there was no connection to it."""
        return self._connection is not None

    @property
    def waited_s(self) -> float:
        """How long the host has been waited for, connecting and queueing for it included."""
        return self._patience.waited_s

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> Literal[False]:
        await self._upstream.release(self._connection, reuse=error is None)
        if self._patience.end(error):
            raise self._late() from None
        return False

    def _late(self) -> UpstreamError | ReaderLate:
        if self._patience.phase == "reader":
            return ReaderLate()
        detail = f"{self._patience.phase} deadline passed"
        return UpstreamError("provider_error", LATE, retry="once", breaker="count", detail=detail)


class Reply:
    """An answer under way: status and headers are in, the body is read piece by piece."""

    __slots__ = ("_connection", "_patience", "headers", "status")

    def __init__(self, status: int, headers: Headers, connection: Connection, patience: Patience) -> None:
        self.status = status
        self.headers = {name.decode("latin1"): value.decode("latin1") for name, value in headers}
        self._connection = connection
        self._patience = patience

    async def receive(self) -> bytes:
        """What has come of the body, b"" at its end. UpstreamError if it breaks off."""
        self._patience.wait()
        try:
            return await self._connection.receive()
        except WireBroken as error:
            raise UpstreamError(*("upstream_error", BROKEN), retry="once", breaker="count", detail=str(error)) from None
        finally:
            self._patience.rest()

    async def read(self, cap: int = ERROR_BODY_CAP) -> bytes:
        """The body up to `cap` bytes; what came by then when it breaks off or dawdles."""
        body = bytearray()
        with trio.move_on_after(self._patience.deadlines.error_body_s):
            try:
                while len(body) < cap and (piece := await self.receive()):
                    body += piece
            except UpstreamError:
                pass
        return bytes(body[:cap])

    def fed(self) -> None:
        """The first chunk of content has come: from now on only the gaps between chunks are watched."""
        self._patience.fed = True

    def over(self) -> None:
        """The answer has come whole, even if the body goes on: no deadline of the provider's runs any more."""
        self._patience.stop()

    async def drain(self) -> None:
        """Read to the end of a body whose content is over, so that the connection can be used again."""
        try:
            if self._connection.ended():
                return
            with trio.move_on_after(DRAIN_S):
                while await self._connection.receive():
                    pass
        except WireBroken:
            return
