"""What the tests of the meter share: a tenant with credits, calls that want to spend them, and a look at the books."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from app.core.billing import Bill
from app.core.identity import Principal
from app.core.ledger import Limits
from app.storage.database import Database, Ticket
from app.storage.ledger import balance
from app.storage.sqlite import SqliteEngine
from app.usecases.meter import Ask, Meter
from tests.books import PLENTY, only_call, open_books, open_holds
from tests.storage.making import DAY_0, make_principal

CREDIT: Final = 10_000
HOLD_S: Final = 900.0
#: Columns of a call that say how it ended.
FINAL: Final = ("state", "outcome", "charge", "basis", "rule")
BILL: Final = Bill("completed", 60, "provider_usage", "B5")


class GatedEngine(SqliteEngine):
    """Begins no commit while `gate` is closed, and counts those it began."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "NORMAL")
        self.gate = trio.Event()
        self.gate.set()
        self.commits = 0

    async def commit(self, tickets: list[Ticket]) -> None:
        self.commits += 1
        await self.gate.wait()
        await super().commit(tickets)


@dataclass
class Clock:
    """Microseconds since 1970; stands still until it is turned."""

    now: int = DAY_0

    def __call__(self) -> int:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += int(seconds * 1e6)


@dataclass
class Desk:
    """A meter, and one tenant's key to spend with."""

    db: Database
    engine: GatedEngine
    path: Path
    principal: Principal
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.meter = Meter(self.db, hold_s=HOLD_S, clock=self.clock)

    @property
    def tenant_id(self) -> str:
        return self.principal.tenant_id

    async def money(self) -> tuple[int, int]:
        """(balance, held)."""
        return await self.db.read(lambda t: balance(t, self.tenant_id))

    async def call(self, *columns: str) -> tuple[Any, ...]:
        """These columns of the one call there is."""
        return await self.db.read(lambda t: only_call(t, *columns))

    async def open_holds(self) -> int:
        return await self.db.read(open_holds)

    @contextmanager
    def locked(self) -> Iterator[Callable[[], None]]:
        """Another program keeps the write lock until the block ends or the function is called."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other.rollback


def ask(hold_ucr: int = 100, limits: Limits = PLENTY) -> Ask:
    return Ask("/v1/chat/completions", "llm", "kimi-k2.5", True, hold_ucr, "req_1", limits)


@asynccontextmanager
async def open_desk(folder: Path, *, credit: int = CREDIT, deadline_s: float = 5.0) -> AsyncIterator[Desk]:
    """At the end the books must balance."""
    engines: list[GatedEngine] = []

    def make_engine(path: Path) -> GatedEngine:
        engines.append(GatedEngine(path))
        return engines[0]

    async with open_books(folder, deadline_s=deadline_s, make_engine=make_engine) as db:
        principal = await db.write(lambda t: make_principal(t, credit=credit))
        yield Desk(db, engines[0], folder / "gateway.db", principal)
