"""The whole house in one process for a test: simulator, database with a tenant and a key, gateway on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from app.config import Secret, Settings
from app.core.identity import now_us
from app.main import open_storage, run_gateway
from app.storage import keys, ledger, tenants
from app.storage.database import EVERY_TENANT, Transaction
from app.storage.keys import KeySettings
from app.usecases import models
from catalog.catalog import Catalog
from scripts.simulator import server as simulator
from scripts.simulator.book import Book
from scripts.simulator.settings import Settings as SimulatorSettings
from scripts.simulator.whatsapp.phones import Phones
from tests.databases import sqlite_url

SECRET = Secret("a secret for tests only")
RICH_UCR = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant with one key."""

    tenant_id: str
    key_id: str
    key: str


@dataclass(frozen=True, slots=True)
class House:
    """What a test talks to. `url` has no `/v1`."""

    url: str
    settings: Settings
    customer: Customer
    simulator_url: str
    book: Book
    shutdown: trio.Event = field(default_factory=trio.Event)
    #: WhatsApp as the simulator plays it.
    phones: Phones = field(default_factory=Phones)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.customer.key}"}


def add_customer(
    db: Transaction, name: str = "Acme", *, plan: str = "enterprise", credit_ucr: int = RICH_UCR, **key: Any
) -> Customer:
    """A tenant of that name, its credits, and a key with these settings."""
    tenant_id, _ = tenants.upsert_tenant(db, name, plan, None, now_us())
    if credit_ucr:
        ledger.credit(db, tenant_id, "grant", credit_ucr, "start", now_us())
    key_id, text = keys.create_key(db, tenant_id, SECRET.encode(), KeySettings("test", **key), now_us())
    return Customer(tenant_id, key_id, text)


def pointed_at(simulator_url: str, settings: Settings) -> Settings:
    """`settings` with every provider at the simulator."""
    return replace(
        settings,
        openrouter_api_key=Secret("sk-or-simulated"),
        openrouter_base_url=f"{simulator_url}/openrouter/api/v1",
        cloudflare_api_token=Secret("simulated"),
        cloudflare_account_id="acc",
        cloudflare_base_url=f"{simulator_url}/cloudflare/client/v4",
        sarvam_api_key=Secret("simulated"),
        sarvam_base_url=f"{simulator_url}/sarvam",
        fast_api_key=Secret("simulated"),
        fast_base_url=f"{simulator_url}/openai/v1",
        serper_api_key=Secret("simulated"),
        serper_base_url=f"{simulator_url}/serper",
        exa_api_key=Secret("simulated"),
        exa_base_url=f"{simulator_url}/exa",
        tavily_api_key=Secret("simulated"),
        tavily_base_url=f"{simulator_url}/tavily",
        brave_api_key=Secret("simulated"),
        brave_base_url=f"{simulator_url}/brave",
        searxng_base_url=f"{simulator_url}/searxng",
        meta_graph_url=f"{simulator_url}/graph/v25.0",
        twilio_api_url=f"{simulator_url}/twilio",
        twilio_messaging_url=f"{simulator_url}/twilio",
    )


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything but the gateway: a simulator, and a database with the catalog, a tenant and a key."""

    settings: Settings
    customer: Customer
    simulator_url: str
    book: Book
    phones: Phones = field(default_factory=Phones)


@asynccontextmanager
async def open_ground(
    where: Path | str, *, customer: dict[str, Any] | None = None, **overrides: Any
) -> AsyncIterator[Ground]:
    """What a gateway needs. `where` is a folder for its database, or the database's URL.

    `customer` goes to `add_customer`, the rest to `Settings`.
    """
    book, phones = Book(), Phones()
    with TemporaryDirectory(prefix="gateway-blobs-") as blobs:
        async with trio.open_nursery() as nursery:
            serve = partial(simulator.serve, settings=SimulatorSettings(), book=book, phones=phones)
            url = await nursery.start(serve)
            database_url = where if isinstance(where, str) else sqlite_url(where)
            base = Settings(
                database_url=database_url,
                secret_key=SECRET,
                port=0,
                access_log=False,
                drain_s=5.0,
                blob_dir=blobs,
            )
            settings = replace(pointed_at(url, base), **overrides)
            unhurried = replace(settings, database_deadline_s=base.database_deadline_s)
            async with open_storage(unhurried) as db:
                await db.write(EVERY_TENANT, lambda t: models.seed(t, Catalog.load()))
                made = await db.write(EVERY_TENANT, lambda t: add_customer(t, **(customer or {})))
            yield Ground(settings, made, url, book, phones)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_house(
    where: Path | str, *, customer: dict[str, Any] | None = None, **overrides: Any
) -> AsyncIterator[House]:
    """Start everything; at the end drain the gateway and stop the simulator. Arguments as `open_ground`."""
    shutdown, hurry = trio.Event(), trio.Event()
    ended = trio.Event()
    async with open_ground(where, customer=customer, **overrides) as ground, trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
            await run_gateway(ground.settings, shutdown=shutdown, hurry=hurry, task_status=task_status)
            ended.set()

        urls = await nursery.start(run)
        yield House(
            urls[0], ground.settings, ground.customer, ground.simulator_url, ground.book, shutdown, ground.phones
        )
        shutdown.set()
        await ended.wait()
