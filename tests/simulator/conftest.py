"""A simulator of its own for each test that asks for one, a client, and the gateway's own lines to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import httpx2
import pytest
import trio

from app.providers.upstream import Upstream
from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.media import Downloads, metas, twilios
from app.providers.whatsapp.twilio import Account, TwilioLine
from scripts.simulator.book import Book
from scripts.simulator.server import serve
from tests.providers.peer import Peer, open_peer
from tests.simulator.asking import Running
from tests.simulator.whatsapp_lines import ACCOUNT, FAST, OURS, SID, Desk


@pytest.fixture
async def simulator(nursery: trio.Nursery) -> Running:
    book = Book()
    return Running(await nursery.start(partial(serve, book=book)), book)


@pytest.fixture
async def client(simulator: Running) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": "Bearer secret-key", "api-subscription-key": "secret-key"}
    async with httpx2.AsyncClient(base_url=simulator.url, headers=headers, timeout=10, trust_env=False) as opened:
        yield opened


@pytest.fixture
async def gateway() -> AsyncIterator[Peer]:
    """Takes every webhook."""
    async with open_peer() as peer:
        yield peer


@pytest.fixture
async def desk(client: httpx2.AsyncClient, gateway: Peer) -> Desk:
    """With a number at each provider."""
    desk = Desk(client)
    url = gateway.url
    of_meta = {"account": ACCOUNT, "business": "WABA", "phone": "+15550783881", "token": "EAA-token", "app_secret": "s"}
    await desk.post("numbers", provider="meta", callback_url=f"{url}/meta", verify_token="v", **of_meta)
    of_twilio = {"account_sid": SID, "phone": OURS, "auth_token": "12345", "refusals": "status"}
    await desk.post("numbers", provider="twilio", callback_url=f"{url}/twilio#rc=3&rp=all", **of_twilio)
    return desk


@pytest.fixture
async def meta_line(simulator: Running) -> AsyncIterator[GraphLine]:
    url = f"{simulator.url}/graph/v25.0"
    async with AsyncExitStack() as stack:
        upstream = Upstream(url, deadlines=FAST)
        stack.push_async_callback(upstream.aclose)
        yield GraphLine(upstream, Downloads(url, metas), phone_number_id=ACCOUNT, token="EAA-token")


@pytest.fixture
async def twilio_line(simulator: Running, gateway: Peer) -> AsyncIterator[TwilioLine]:
    url = f"{simulator.url}/twilio"
    async with AsyncExitStack() as stack:
        upstream = Upstream(url, deadlines=FAST)
        stack.push_async_callback(upstream.aclose)
        yield TwilioLine(
            *(upstream, upstream, Downloads(url, twilios)),
            account=Account(SID, "12345"),
            from_number=OURS,
            status_callback=lambda reference: f"{gateway.url}/status/{reference}",
        )
