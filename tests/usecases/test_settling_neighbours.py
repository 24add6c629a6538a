"""One tenant whose turn does not come is in no other's way, and an outage costs no living call its hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from app.core.identity import Principal
from app.storage.database import EVERY_TENANT, Database, unavailable
from app.storage.ledger import Closing
from app.usecases import settling
from app.usecases.meter import Call
from app.usecases.settling import Settler
from tests.databases import Databases, write_locked
from tests.storage.making import DAY_0, make_principal
from tests.usecases.spending import HOLD_S, Desk, ask, open_desk


@dataclass
class Street:
    """Two tenants on one PostgreSQL; the one that is locked comes first wherever tenants are gone through."""

    desk: Desk
    url: str
    locked: Principal
    free: Principal

    async def open_calls(self, principal: Principal, count: int) -> list[Call]:
        return [await self.desk.meter.admit(principal, ask(1)) for _ in range(count)]

    async def held(self, principal: Principal) -> int:
        """How many calls of this tenant hold something."""
        sql = "SELECT COUNT(*) FROM calls WHERE tenant_id = ? AND state = 'held'"
        row = await self.desk.db.read(principal.tenant_id, lambda db: db.one(sql, principal.tenant_id))
        assert row is not None
        return int(row[0])


@asynccontextmanager
async def open_street(databases: Databases) -> AsyncIterator[Street]:
    with databases.open_fresh() as url:
        async with open_desk(url, deadline_s=0.3, settle_s=0.3) as desk:
            other = await desk.db.write(EVERY_TENANT, lambda db: make_principal(db, "Other"))
            first, second = sorted((desk.principal, other), key=lambda principal: principal.tenant_id)
            yield Street(desk, url, first, second)


async def test_the_sweeper_frees_the_others_holds(databases: Databases) -> None:
    async with open_street(databases) as street:
        for principal in (street.locked, street.free):
            await street.open_calls(principal, 2)
        street.desk.clock.turn(HOLD_S + 1)
        with write_locked(street.url, street.locked.tenant_id):
            assert await street.desk.meter.settler.sweep() is None, "not all of them"
        assert (await street.held(street.locked), await street.held(street.free)) == (2, 0)


async def test_the_others_holds_are_prolonged(databases: Databases) -> None:
    async with open_street(databases) as street:
        for principal in (street.locked, street.free):
            await street.open_calls(principal, 2)
        street.desk.clock.turn(HOLD_S / 2)
        with write_locked(street.url, street.locked.tenant_id):
            assert await street.desk.meter.renew() == 2
        street.desk.clock.turn(HOLD_S / 2 + 1)
        assert await street.desk.meter.settler.sweep() == 2
        assert (await street.held(street.locked), await street.held(street.free)) == (0, 2)


async def test_the_others_endings_are_written(databases: Databases) -> None:
    async with open_street(databases) as street:
        settler = street.desk.meter.settler
        for principal in (street.locked, street.free):
            for call in await street.open_calls(principal, 2):
                settler.end_later(call.tenant_id, call.id, Closing.unasked(DAY_0))
        with write_locked(street.url, street.locked.tenant_id):
            await settler.flush()
        assert settler.backlog == 2
        assert (await street.held(street.locked), await street.held(street.free)) == (2, 0)


class Away:
    """Stands in for a database with one hold past its time; away until it is told to be back."""

    def __init__(self) -> None:
        self.is_back = False
        self.sweeps: list[float] = []

    async def read(self, _scope: str, _job: object) -> list[tuple[str, str]]:
        await trio.lowlevel.checkpoint()
        if not self.is_back:
            raise unavailable()
        return [("ten_a", "call")]

    async def write(self, _scope: str, _job: object, **_: Any) -> int:
        await trio.lowlevel.checkpoint()
        self.sweeps.append(trio.current_time())
        return 1


async def test_after_an_outage_the_living_have_time_to_prolong_their_holds(autojump_clock: MockClock) -> None:
    db = Away()
    settler = Settler(cast("Database", db), 20.0, lambda: DAY_0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(settler.run_sweeper, 5.0, 30.0)
        await trio.sleep(100)
        db.is_back, back_at = True, trio.current_time()
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert 30 <= db.sweeps[0] - back_at <= 40


async def test_refusals_of_a_long_outage_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "MOST_UNASKED", 3)
    settler = Settler(cast("Database", Away()), 20.0, lambda: DAY_0)
    for number in range(10):
        settler.end_later("ten_a", f"call_{number}", Closing.unasked(DAY_0))
    assert settler.backlog == 3
