"""One question whose answer is read whole: what search, images, embeddings and speech ask of a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from app.core.errors import UpstreamError
from app.providers.body import Question
from app.providers.dialect import TIRED
from app.providers.upstream import Reply, Upstream

JSON_CAP: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer; header names are in lower case. What is not 2xx is read up to 64 KiB and may be cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """`image/png` of `Image/PNG; charset=binary`."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def _ignore(_seconds: float) -> None:
    return None


async def fetch(
    upstream: Upstream,
    outgoing: Question,
    *,
    first_byte_s: float,
    method: bytes = b"POST",
    cap: int = JSON_CAP,
    accepted: Callable[[], None] = lambda: None,
    waited: Callable[[float], None] = _ignore,
) -> Fetched:
    """Ask and read the answer to its end, after which the connection can be used again.

    `accepted` is called when a 2xx head is in, `waited` with the seconds that the host was waited for, however it
    ends. Raises UpstreamError when the host is not reached, is late, breaks off, or sends more than `cap` bytes.
    """
    request = upstream.request(method, outgoing.path, outgoing.headers, outgoing.body, first_byte_s)
    try:
        async with request as reply:
            if not 200 <= reply.status < 300:
                return Fetched(reply.status, reply.headers, await reply.read())
            accepted()
            return Fetched(reply.status, reply.headers, await _read(reply, cap))
    finally:
        waited(request.waited_s)


async def _read(reply: Reply, cap: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await reply.receive():
        if not pieces:
            reply.fed()
        size += len(piece)
        if size > cap:
            raise UpstreamError(
                "upstream_error", TIRED, retry="other", breaker="count", detail="the answer is too large"
            )
        pieces.append(piece)
    reply.over()
    return b"".join(pieces)
