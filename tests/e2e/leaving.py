"""A client of a surface without a stream that sends a whole request and leaves before its answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import msgspec
import trio

from scripts.simulator.book import Record
from tests.e2e.calling import Caller, Json, until


async def leave(caller: Caller, path: str, body: Json, when: Callable[[list[Record]], bool]) -> list[Record]:
    """Post `body` and close as soon as `when` says so of the provider's records; these, once all are over."""
    address = urlsplit(caller.house.url)
    content = msgspec.json.encode(body)
    head = {"host": address.netloc, "content-length": str(len(content)), **caller.house.headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]

    async def met() -> bool:
        return when(caller.upstream())

    async with AsyncExitStack() as stack:
        socket = await trio.open_tcp_stream(address.hostname or "", address.port or 80)
        stack.push_async_callback(socket.aclose)
        await socket.send_all("\r\n".join(lines).encode() + content)
        await until(met)

    async def over() -> bool:
        return all(record.outcome is not None for record in caller.upstream())

    await until(over)
    await caller.settled()
    return caller.upstream()
