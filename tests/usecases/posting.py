"""What the tests of deliveries share: an outbox with webhooks, a clock to turn, receivers that do as they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from app.core.sealing import Sealer
from app.core.webhooks import NewWebhook
from app.providers.receivers import Answer
from app.providers.wire import Headers
from app.storage.database import EVERY_TENANT, Database, Engine, Row, Transaction
from app.storage.outbox import emit
from app.usecases.deliveries import Deliveries
from app.usecases.webhooks import Webhooks
from tests.books import open_books
from tests.e2e.calling import until
from tests.gate import GatedEngine
from tests.storage.making import make_tenant
from tests.usecases.spending import Clock

Act = Callable[[str], Awaitable[Answer]]
OK = Answer(200, b"thanks")
SEALER = Sealer("a secret for tests only")


@dataclass(frozen=True, slots=True)
class Posted:
    """One attempt as the receiver saw it."""

    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def delivery_id(self) -> str:
        return self.headers["X-CallMissed-Delivery"]


async def answer_ok(_url: str) -> Answer:
    return OK


@dataclass
class Receivers:
    """Every receiver there is; `act` says what a URL answers."""

    act: Act = answer_ok
    posted: list[Posted] = field(default_factory=list)
    #: How many attempts are under way to each URL, and the most there ever were.
    now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    #: The most there ever were to all URLs together.
    most_in_all: int = 0

    async def post(self, url: str, headers: Headers, body: bytes) -> Answer:
        self.posted.append(Posted(url, {name.decode(): value.decode() for name, value in headers}, body))
        self.now[url] += 1
        self.most[url] = max(self.most[url], self.now[url])
        self.most_in_all = max(self.most_in_all, self.now.total())
        try:
            return await self.act(url)
        finally:
            self.now[url] -= 1


@dataclass
class Office:
    """A tenant's outbox, and the receivers of its webhooks."""

    db: Database
    engine: GatedEngine
    url: str
    tenant_id: str
    clock: Clock = field(default_factory=Clock)
    receivers: Receivers = field(default_factory=Receivers)

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(self.db, SEALER, private=True, clock=self.clock)

    async def subscribe(self, url: str = "https://receiver.example/") -> tuple[str, str]:
        """(id, secret) of a new webhook that hears everything."""
        made = await self.webhooks.create(self.tenant_id, NewWebhook(url=url, events=["*"]))
        return made.id, made.secret

    async def emit(self, count: int = 1) -> None:
        """So many events at once."""
        at = self.clock()

        def tell(db: Transaction) -> None:
            for number in range(count):
                emit(db, self.tenant_id, "credits.low", {"number": number}, at)

        await self.db.write(self.tenant_id, tell)

    async def rows(self, columns: str) -> list[Row]:
        """Of all deliveries, oldest first."""
        return await self.db.read(
            EVERY_TENANT,
            lambda db: db.all(f"SELECT {columns} FROM deliveries ORDER BY created_at, id"),  # noqa: S608
        )

    async def becomes(self, columns: str, *wanted: object) -> None:
        """Wait until these columns of all deliveries are so."""

        async def so() -> bool:
            return await self.rows(columns) == list(wanted)

        await until(so, 8.0)

    async def states(self, *wanted: str) -> None:
        """Wait until the deliveries are in these states."""
        await self.becomes("state", *[(state,) for state in wanted])

    async def posted(self) -> None:
        """Wait until an attempt is under way or over."""

        async def begun() -> bool:
            return bool(self.receivers.posted)

        await until(begun)

    def service(self, db: Database | None = None) -> Deliveries:
        return Deliveries(db or self.db, SEALER, self.receivers, clock=self.clock)


@asynccontextmanager
async def open_office(url: str) -> AsyncIterator[Office]:
    gates: list[GatedEngine] = []

    def gated(engine: Engine) -> GatedEngine:
        gates.append(GatedEngine(engine))
        return gates[0]

    async with open_books(url, wrap=gated) as db:
        tenant_id = await db.write(EVERY_TENANT, make_tenant)
        yield Office(db, gates[0], url, tenant_id)


@asynccontextmanager
async def running(service: Deliveries) -> AsyncIterator[trio.Event]:
    """The service at work; gives the event that asks it to stop. Leaving the block kills it, as `kill -9` would."""
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run, shutdown, trio.Event())
        yield shutdown
        nursery.cancel_scope.cancel()
