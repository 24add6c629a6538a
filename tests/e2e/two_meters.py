"""Two processes' worth of meters on one database, and crowds that ask them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from app.config import Settings
from app.core.billing import Bill
from app.core.errors import Problem
from app.core.identity import Principal, key_digest
from app.core.ledger import Limits
from app.core.limits import Rate
from app.main import open_storage
from app.storage import keys
from app.storage.database import EVERY_TENANT
from app.storage.ledger import StaleKey
from app.usecases.meter import Ask, Meter
from tests.e2e.settlement import LedgerView, open_ledger
from tests.house import SECRET, Customer, add_customer

#: How often two meet.
PAIRS: Final = 300
HOLD: Final = 1_000
NO_LIMIT: Final = Limits(Rate(1_000_000), concurrency=1_000_000)


class Clock:
    """Microseconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True, slots=True)
class Desk:
    """Two meters as two processes have them: own engine, own connection, own writer, the same file and clock."""

    meters: tuple[Meter, Meter]
    customer: Customer
    principal: Principal
    clock: Clock
    ledger: LedgerView

    def money(self) -> tuple[int, int]:
        return self.ledger.money(self.customer.tenant_id)


@asynccontextmanager
async def open_desk(url: str, credit: int = 10**9) -> AsyncIterator[Desk]:
    settings = Settings(database_url=url, secret_key=SECRET)
    clock = Clock()
    async with open_storage(settings) as one, open_storage(settings) as other:
        customer = await one.write(EVERY_TENANT, lambda db: add_customer(db, credit_ucr=credit))
        digest = key_digest(SECRET.encode(), customer.key)
        principal = await one.read(EVERY_TENANT, lambda db: keys.find_principal(db, digest, clock.now))
        meters = (Meter(one, hold_s=60, clock=clock), Meter(other, hold_s=60, clock=clock))
        with open_ledger(settings.database_url) as view:
            yield Desk(meters, customer, principal, clock, view)
            assert view.broken() == []


def ask(limits: Limits = NO_LIMIT, hold: int = HOLD) -> Ask:
    return Ask("/v1/chat/completions", "llm", "kimi-k2.6", False, hold, "req_test", limits)


def bill(cost: int) -> Bill:
    return Bill("completed", cost, "provider_usage", "B5")


async def together(*jobs: Callable[[], Awaitable[object]]) -> list[object]:
    """All at once; what each came to, a Problem or StaleKey included."""
    results: list[object] = [None] * len(jobs)

    async def run(place: int) -> None:
        try:
            results[place] = await jobs[place]()
        except (Problem, StaleKey) as refusal:
            results[place] = refusal

    async with trio.open_nursery() as nursery:
        for place in range(len(jobs)):
            nursery.start_soon(run, place)
    return results


async def in_crowd(count: int, job: Callable[[int], Awaitable[None]], size: int = 20) -> None:
    """`job` for each number below `count`, `size` of them at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await job(number)

    async with trio.open_nursery() as nursery:
        for _ in range(size):
            nursery.start_soon(work)
