"""The service of lanes: each conversation is worked on by one process at a time, and none is forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from app.core.errors import Problem
from app.storage import lanes
from app.storage.database import EVERY_TENANT, Database, Transaction
from channels.answering import lanes as service
from channels.answering.lanes import LEASE_US, Lanes, Nudge
from channels.bell import Bell
from tests.books import open_books
from tests.channels.stage import open_stage, say_hello, until_asked
from tests.databases import ON_BOTH
from tests.e2e.calling import until
from tests.storage.making import make_tenant
from tests.usecases.spending import Clock

pytestmark = ON_BOTH


@dataclass
class Runner:
    """Notes what it was asked to run; `act` says how a run goes."""

    act: Callable[[str], object] = lambda _conversation: None
    ran: Counter[str] = field(default_factory=Counter)
    now: Counter[str] = field(default_factory=Counter)
    most: int = 0
    nudges: dict[str, Nudge] = field(default_factory=dict)
    hold: trio.Event | None = None

    async def run(self, tenant_id: str, conversation_id: str, owner: str, nudge: Nudge) -> int:
        self.ran[conversation_id] += 1
        self.now[conversation_id] += 1
        self.most = max(self.most, self.now[conversation_id])
        self.nudges[conversation_id] = nudge
        try:
            self.act(conversation_id)
            if self.hold is not None:
                await self.hold.wait()
            else:
                await trio.sleep(0.001)
            return 99
        finally:
            self.now[conversation_id] -= 1


@dataclass
class House:
    db: Database
    tenant_id: str
    clock: Clock = field(default_factory=Clock)
    bell: Bell = field(default_factory=Bell)
    runner: Runner = field(default_factory=Runner)

    def lanes(self, db: Database | None = None) -> Lanes:
        return Lanes(db or self.db, self.runner, bell=self.bell, clock=self.clock)

    async def touch(self, *conversations: str, wait_us: int = 0) -> None:
        def write(db: Transaction) -> None:
            for conversation_id in conversations:
                lanes.touch(db, self.tenant_id, conversation_id, self.clock.now, wait_us, wait_us)

        await self.db.write(self.tenant_id, write)
        self.bell.ring()

    async def at_rest(self) -> bool:
        rows = await self.db.read(EVERY_TENANT, lambda db: db.all("SELECT 1 FROM lanes WHERE due_at IS NOT NULL"))
        return not rows


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_books(database_url) as db:
        yield House(db, await db.write(EVERY_TENANT, make_tenant))


@asynccontextmanager
async def running(*services: Lanes) -> AsyncIterator[trio.Event]:
    """At work; gives the event that asks them to stop. Leaving the block kills them."""
    shutdown, hurry = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        for each in services:
            nursery.start_soon(each.run, shutdown, hurry)
        yield shutdown
        nursery.cancel_scope.cancel()


async def test_what_is_due_is_run_once(house: House) -> None:
    async with running(house.lanes()):
        await house.touch("c", "d")
        await until(house.at_rest)
    assert house.runner.ran == {"c": 1, "d": 1}


async def test_what_is_not_due_waits(house: House) -> None:
    async with running(house.lanes()):
        await house.touch("c", wait_us=60_000_000)
        await trio.sleep(0.1)
        assert house.runner.ran == {}
        house.clock.turn(60)
        await until(house.at_rest)


async def test_two_processes_run_everything_once(house: House, database_url: str) -> None:
    async with open_books(database_url) as other, running(house.lanes(), house.lanes(other)):
        await house.touch(*(f"c{number}" for number in range(60)))
        await until(house.at_rest, 8.0)
    assert house.runner.ran == {f"c{number}": 1 for number in range(60)}


async def test_what_comes_during_a_turn_is_run_after_it_and_never_beside_it(house: House) -> None:
    house.runner.hold = trio.Event()

    async def begun() -> bool:
        return house.runner.ran["c"] == 1

    async def told() -> bool:
        return house.runner.nudges["c"].told >= 2

    async with running(house.lanes()):
        await house.touch("c")
        await until(begun)
        await house.touch("c")
        await until(told)
        assert house.runner.ran["c"] == 1
    assert house.runner.most == 1


async def test_what_a_dead_process_was_at_is_run_by_another_after_its_lease(house: House) -> None:
    house.runner.hold = trio.Event()

    async def begun() -> bool:
        return house.runner.ran["c"] == 1

    async with running(house.lanes()):
        await house.touch("c")
        await until(begun)
    house.runner.hold = None
    async with running(house.lanes()):
        await trio.sleep(0.1)
        assert house.runner.ran["c"] == 1
        house.clock.now += LEASE_US
        await until(house.at_rest)
    assert house.runner.ran["c"] == 2


async def test_a_turn_whose_lease_is_lost_is_cancelled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RENEW_S", 0.05)
    house.runner.hold = trio.Event()

    async def begun() -> bool:
        return house.runner.now["c"] == 1

    async def over() -> bool:
        return house.runner.now["c"] == 0

    async with running(house.lanes()):
        await house.touch("c")
        await until(begun)
        at = house.clock.now + LEASE_US
        assert await house.db.write(
            house.tenant_id, lambda db: lanes.claim(db, house.tenant_id, "c", "b", at, at + LEASE_US)
        )
        await until(over)
    rows = await house.db.read(EVERY_TENANT, lambda db: db.all("SELECT owner FROM lanes"))
    assert rows == [("b",)]


@pytest.mark.parametrize("error", [KeyError("ours"), Problem("storage_unavailable", "away")])
async def test_a_turn_that_cannot_go_on_ends_neither_the_service_nor_the_others(house: House, error: Exception) -> None:
    def act(conversation_id: str) -> None:
        if conversation_id == "bad":
            raise error

    house.runner.act = act

    async def served() -> bool:
        return house.runner.ran["good"] == 1

    async with running(house.lanes()):
        await house.touch("bad")
        await house.touch("good")
        await until(served)
        await trio.sleep(0.1)
    assert house.runner.ran["bad"] == 1  # again when its lease is over, not in a hot loop
    house.clock.now += LEASE_US
    house.runner.act = lambda _: None
    async with running(house.lanes()):
        await until(house.at_rest)


async def test_a_shutdown_lets_turns_end_and_begins_no_others(house: House) -> None:
    house.runner.hold = trio.Event()
    at_work = house.lanes()

    async def begun() -> bool:
        return house.runner.ran["c"] == 1

    async with running(at_work) as shutdown:
        await house.touch("c")
        await until(begun)
        shutdown.set()
        await trio.sleep(0.05)
        await house.touch("d")
        house.runner.hold.set()
        with trio.fail_after(3):
            await at_work.ended.wait()
    assert house.runner.ran == {"c": 1}


async def test_a_tenant_with_more_than_its_share_hides_nobody_elses_lanes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_OF_TENANT", 1)
    monkeypatch.setattr(service, "LOOKED_AT", 2)
    house.runner.hold = trio.Event()
    other = await house.db.write(EVERY_TENANT, lambda db: make_tenant(db, name="Other"))

    async def served() -> bool:
        return house.runner.ran["theirs"] == 1

    await house.touch(*(f"c{number}" for number in range(9)))
    house.clock.turn(1)
    await house.db.write(other, lambda db: lanes.touch(db, other, "theirs", house.clock.now, 0, 0))
    async with running(house.lanes()):
        await until(served)
    assert house.runner.ran.total() == 2


async def test_lanes_that_cannot_be_claimed_are_not_met_at_once_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    def away(*_: object) -> None:
        nonlocal tried
        tried += 1
        raise Problem("storage_unavailable", "The disk is full.")

    monkeypatch.setattr(lanes, "claim", away)
    async with running(house.lanes()):
        await house.touch("c")
        await trio.sleep(0.3)
    assert 1 <= tried <= 3


async def test_a_turn_that_a_shutdown_breaks_off_is_another_processs_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DRAIN_S", 0.05)
    house.runner.hold = trio.Event()
    at_work = house.lanes()

    async def begun() -> bool:
        return house.runner.ran["c"] == 1

    async with running(at_work) as shutdown:
        await house.touch("c")
        await until(begun)
        shutdown.set()
        with trio.fail_after(3):
            await at_work.ended.wait()
    house.runner.hold = None
    async with running(house.lanes()):
        await until(house.at_rest)
    assert house.runner.ran["c"] == 2


async def test_shutdowns_use_up_none_of_a_turns_attempts(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DRAIN_S", 0.05)
    async with open_stage(database_url, script=hang) as stage:
        await stage.hear("hello")
        for restart in range(3):
            at_work = Lanes(stage.db, stage.turns, bell=Bell(), clock=stage.clock)
            async with running(at_work) as shutdown:
                await until_asked(stage, restart + 1)
                shutdown.set()
                with trio.fail_after(3):
                    await at_work.ended.wait()
        stage.script = say_hello
        await stage.play()
        assert await stage.said() == ["Hello!"]
        assert await stage.rows("SELECT attempts FROM turns") == [(1,)]


async def hang(_body: dict[str, Any]) -> Any:
    await trio.sleep_forever()
