"""How the tests of the socket out ask: an upstream pointed at a scripted host, a whole answer, or its failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from app.core.errors import UpstreamError
from app.providers.deadlines import Deadlines
from app.providers.upstream import Reply, Upstream
from tests.providers.peer import Act, Peer, answer_ok, open_peer

FAST: Final[dict[str, float]] = {"gap_s": 0.1, "total_s": 5.0, "error_body_s": 0.1, "connect_s": 0.2}


@asynccontextmanager
async def to_peer(
    act: Act = answer_ok, *, max_parallel: int = 4, **deadlines: float
) -> AsyncIterator[tuple[Upstream, Peer]]:
    """An upstream with short deadlines, pointed at a host that does `act`. No place may be lost when the block ends."""
    async with open_peer(act) as peer:
        upstream = Upstream(
            f"{peer.url}/base/", max_parallel=max_parallel, deadlines=Deadlines(**{**FAST, **deadlines})
        )
        yield upstream, peer
        assert upstream.in_flight == 0
        await upstream.aclose()


def ask(upstream: Upstream, path: str = "/x", body: bytes = b"", first_byte_s: float = 1.0) -> Any:
    return upstream.request(b"POST", path, ((b"x-own", b"1"),), body, first_byte_s)


async def whole(reply: Reply) -> bytes:
    body = b""
    while piece := await reply.receive():
        body += piece
    return body


async def call(upstream: Upstream) -> None:
    async with ask(upstream) as reply:
        assert await whole(reply) == b"ok"


async def failure(upstream: Upstream, **options: Any) -> UpstreamError:
    """The error of one call that reads all it can."""
    try:
        async with ask(upstream, **options) as reply:
            while await reply.receive():
                reply.fed()
    except UpstreamError as error:
        return error
    raise AssertionError("the call went well")
