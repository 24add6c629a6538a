"""What the tests of the meter share: a tenant with credits, calls that want to spend them, and a look at the books."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.billing import Bill
from app.core.identity import Principal
from app.core.ledger import Limits
from app.storage.database import EVERY_TENANT, Database, Engine
from app.storage.ledger import balance
from app.usecases.meter import Ask, Meter
from tests.books import PLENTY, only_call, open_books, open_holds
from tests.databases import write_locked
from tests.gate import GatedEngine
from tests.storage.making import DAY_0, make_principal

CREDIT: Final = 10_000
HOLD_S: Final = 900.0
#: Columns of a call that say how it ended.
FINAL: Final = ("state", "outcome", "charge", "basis", "rule")
BILL: Final = Bill("completed", 60, "provider_usage", "B5")


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
    url: str
    principal: Principal
    settle_s: float = 20.0
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.meter = Meter(self.db, hold_s=HOLD_S, settle_s=self.settle_s, clock=self.clock)

    @property
    def tenant_id(self) -> str:
        return self.principal.tenant_id

    async def money(self) -> tuple[int, int]:
        """(balance, held)."""
        return await self.db.read(self.tenant_id, lambda t: balance(t, self.tenant_id))

    async def call(self, *columns: str) -> tuple[Any, ...]:
        """These columns of the one call there is."""
        return await self.db.read(self.tenant_id, lambda t: only_call(t, *columns))

    async def open_holds(self) -> int:
        return await self.db.read(self.tenant_id, open_holds)

    def locked(self) -> AbstractContextManager[Callable[[], None]]:
        """Another process keeps the tenant's turn until the block ends or the function is called."""
        return write_locked(self.url, self.tenant_id)


def ask(hold_ucr: int = 100, limits: Limits = PLENTY) -> Ask:
    return Ask("/v1/chat/completions", "llm", "kimi-k2.5", True, hold_ucr, "req_1", limits)


@asynccontextmanager
async def open_desk(
    url: str, *, credit: int = CREDIT, deadline_s: float = 5.0, settle_s: float = 20.0
) -> AsyncIterator[Desk]:
    """At the end the books must balance."""
    gates: list[GatedEngine] = []

    def gated(engine: Engine) -> GatedEngine:
        gates.append(GatedEngine(engine))
        return gates[0]

    async with open_books(url, deadline_s=deadline_s, wrap=gated) as db:
        principal = await db.write(EVERY_TENANT, lambda t: make_principal(t, credit=credit))
        yield Desk(db, gates[0], url, principal, settle_s)
