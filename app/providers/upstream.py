"""The only socket out: one pool of HTTP/1.1 connections per host, a cap in front of it, a deadline for each phase.

HTTP/1.1 because a cancelled request then closes its connection, which is what makes a provider stop; over HTTP/2 the
stream is not reset (traps.md 17). Leaving the block closes the connection unless the answer was read to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore2
import trio

from app.core.errors import UpstreamError

ERROR_BODY_CAP: Final = 64 * 1024
DRAIN_S: Final = 0.1
CLOSE_S: Final = 1.0
UNREACHABLE: Final = "The model's provider could not be reached. Nothing was charged; try again."
LATE: Final = "The model's provider did not answer in time. Nothing was charged; try again."
BROKEN: Final = "The model's provider broke off its answer. Nothing was charged; try again."


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each phase of one upstream call."""

    connect_s: float = 5.0
    gap_s: float = 60.0
    total_s: float = 600.0
    error_body_s: float = 5.0


class Reply:
    """An answer under way: status and headers are in, the body is read piece by piece."""

    def __init__(self, response: httpcore2.Response, patience: Patience) -> None:
        self.status = response.status
        self.headers = {name.lower().decode("latin1"): value.decode("latin1") for name, value in response.headers}
        self._response = response
        self._pieces = response.aiter_stream().__aiter__()
        self._patience = patience

    async def receive(self) -> bytes:
        """The next piece of the body as it came from the network, b"" at its end. UpstreamError if it breaks off."""
        self._patience.wait_for("gap" if self._patience.fed else "first byte")
        try:
            return await self._pieces.__anext__()
        except StopAsyncIteration:
            return b""
        except httpcore2.NetworkError as error:
            raise _broken(error) from None
        except httpcore2.ProtocolError as error:
            raise _broken(error) from None
        finally:
            self._patience.rest()

    async def read(self, cap: int = ERROR_BODY_CAP) -> bytes:
        """The body up to `cap` bytes; whatever came when it breaks off or dawdles."""
        body = bytearray()
        with trio.move_on_after(self._patience.deadlines.error_body_s):
            try:
                while len(body) < cap and (piece := await self.receive()):
                    body += piece
            except UpstreamError:
                pass
        return bytes(body[:cap])


class Patience:
    """The one cancel scope of an upstream call; its deadline moves with the phase, so no timer is made per chunk."""

    def __init__(self, deadlines: Deadlines, first_byte_s: float) -> None:
        self.deadlines = deadlines
        self.first_byte_s = first_byte_s
        self.fed = False
        self.phase = "first byte"
        now = trio.current_time()
        self._first_byte_at = now + first_byte_s
        self._total_at = now + deadlines.total_s
        self.scope = trio.CancelScope(deadline=self._first_byte_at)

    def wait_for(self, phase: str) -> None:
        """The provider is waited for from now on."""
        self.phase = phase
        deadline = trio.current_time() + self.deadlines.gap_s if self.fed else self._first_byte_at
        if deadline > self._total_at:
            self.phase, deadline = "total", self._total_at
        self.scope.deadline = deadline

    def rest(self) -> None:
        """The provider is not waited for: only the total time runs."""
        self.phase = "total"
        self.scope.deadline = self._total_at


class Upstream:
    """One provider's host. `base_url` comes from the configuration, never from a request."""

    def __init__(self, base_url: str, *, max_parallel: int = 512, deadlines: Deadlines | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is not an http or https URL")
        self.base_url = base_url.rstrip("/")
        self.deadlines = deadlines or Deadlines()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._scheme, self._host, self._port = parts.scheme.encode(), parts.hostname.encode(), port
        self._path = parts.path.rstrip("/").encode()
        self._host_header = (b"Host", parts.netloc.rpartition("@")[2].encode())
        self._limiter = trio.CapacityLimiter(max_parallel)
        self._pool = httpcore2.AsyncConnectionPool(
            max_connections=max_parallel * 2, max_keepalive_connections=max_parallel, keepalive_expiry=30.0
        )

    async def aclose(self) -> None:
        await self._pool.aclose()

    @property
    def in_flight(self) -> int:
        return self._limiter.borrowed_tokens

    @asynccontextmanager
    async def request(
        self, method: bytes, path: str, headers: tuple[tuple[bytes, bytes], ...], body: bytes, first_byte_s: float
    ) -> AsyncIterator[Reply]:
        """Send one request and hand over the answer as soon as its headers are in.

        Raises UpstreamError when the host cannot be reached, is late, or breaks off. Cancel closes the socket.
        """
        patience = Patience(self.deadlines, first_byte_s)
        response: httpcore2.Response | None = None
        with patience.scope:
            async with self._limiter:
                try:
                    response = await self._send(method, path, headers, body)
                    patience.rest()
                    yield Reply(response, patience)
                finally:
                    if response is not None:
                        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                            await response.aclose()
        if patience.scope.cancelled_caught:
            raise UpstreamError(
                *("provider_error", LATE), retry="once", breaker="count", detail=f"{patience.phase} deadline passed"
            )

    async def _send(
        self, method: bytes, path: str, headers: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> httpcore2.Response:
        url = httpcore2.URL(scheme=self._scheme, host=self._host, port=self._port, target=self._path + path.encode())
        timeout: dict[str, Any] = {"connect": self.deadlines.connect_s}
        request = httpcore2.Request(
            method,
            url,
            headers=[self._host_header, *headers, (b"Content-Length", str(len(body)).encode())],
            content=body,
            extensions={"timeout": timeout},
        )
        try:
            return await self._pool.handle_async_request(request)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout) as error:
            raise UpstreamError(
                *("provider_error", UNREACHABLE), retry="other", breaker="count", detail=repr(error)
            ) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise UpstreamError(
                *("provider_error", UNREACHABLE), retry="once", breaker="count", detail=repr(error)
            ) from None


def _broken(error: Exception) -> UpstreamError:
    return UpstreamError("upstream_error", BROKEN, retry="once", breaker="count", detail=repr(error))
