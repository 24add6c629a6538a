"""A simulator of its own for each test that asks for one, and a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import httpx2
import pytest
import trio

from scripts.simulator.book import Book
from scripts.simulator.server import serve
from tests.simulator.asking import Running


@pytest.fixture
async def simulator(nursery: trio.Nursery) -> Running:
    book = Book()
    return Running(await nursery.start(partial(serve, book=book)), book)


@pytest.fixture
async def client(simulator: Running) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": "Bearer secret-key", "api-subscription-key": "secret-key"}
    async with httpx2.AsyncClient(base_url=simulator.url, headers=headers, timeout=10, trust_env=False) as opened:
        yield opened
