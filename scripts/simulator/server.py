"""The listening side: `serve` runs in the caller's nursery, and nothing that happens on one connection ends it."""

from __future__ import annotations

import logging
from typing import Final

import trio

from scripts.simulator.book import Book
from scripts.simulator.connection import serve_connection
from scripts.simulator.settings import Settings
from scripts.simulator.whatsapp.phones import Phones
from scripts.simulator.whatsapp.wire import open_wire

log = logging.getLogger("simulator")

_BACKLOG: Final = 2048


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: Settings | None = None,
    book: Book | None = None,
    phones: Phones | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `task_status.started` gets the base URL, without a slash at its end.

    Port 0 takes a free one. Raises OSError when the address cannot be had. Cancel closes every connection at once.
    """
    settings = settings or Settings()
    book = Book() if book is None else book
    phones = Phones(retry_scale=settings.webhook_retry_scale) if phones is None else phones
    book.begin()

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await serve_connection(stream.socket, settings, book, phones)
        except* Exception:
            log.exception("a connection failed")

    listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    address = listeners[0].socket.getsockname()
    name = f"[{address[0]}]" if ":" in address[0] else address[0]
    phones.base_url = phones.base_url or f"http://{name}:{address[1]}"
    async with open_wire() as send, trio.open_nursery() as nursery:
        nursery.start_soon(phones.run, send)
        await nursery.start(trio.serve_listeners, handle, listeners)
        task_status.started(f"http://{name}:{address[1]}")
