"""A whole house that is watched: a client of it, its metrics by either way."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from app.config import Secret
from tests.e2e.calling import Caller, until
from tests.house import open_house
from tests.observability.reading import Page

TOKEN: Final = Secret("a token for tests only")
BEARER: Final = {"authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, slots=True)
class Watcher:
    """`caller` is a customer; `port` is monitoring's own port."""

    caller: Caller
    port: int

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """From monitoring's own port."""
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as http:
            return await http.get(f"http://127.0.0.1:{self.port}{path}", headers=headers)

    async def page(self) -> Page:
        reply = await self.get("/metrics")
        assert reply.status_code == 200
        return Page.of(reply.text)

    async def page_once(self, met: Callable[[Page], object]) -> Page:
        """The page when it is as it should be; what is counted after the last byte takes a moment."""
        page = Page()

        async def look() -> object:
            nonlocal page
            page = await self.page()
            return met(page)

        await until(look)
        return page


def free_port() -> int:
    """One that is free, as are the next ones: below those that the system gives to whoever connects somewhere."""
    for port in random.sample(range(15_000, 30_000), 50):
        with suppress(OSError), ExitStack() as stack:
            for number in range(port, port + 3):
                stack.enter_context(socket.create_server(("127.0.0.1", number)))
            return port
    raise AssertionError("no port is free")


@asynccontextmanager
async def open_watched(folder: Path, **settings: Any) -> AsyncIterator[Watcher]:
    """A house whose metrics can be read on a port of their own, and with `TOKEN` on the main one."""
    port = free_port()
    settings = {"metrics_port": port, "metrics_token": TOKEN, **settings}
    async with (
        open_house(folder, **settings) as house,
        httpx2.AsyncClient(base_url=house.url, headers=house.headers, timeout=10, trust_env=False) as http,
    ):
        yield Watcher(Caller(house, http), port)
