"""Holds while a call runs and when it does not end: they grow, are swept, and are admitted exactly up to the limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from app.core.billing import Bill
from app.core.errors import Problem
from app.core.ledger import Limits
from app.core.limits import Rate
from app.storage import keys
from app.storage.database import Transaction
from app.storage.ledger import StaleKey
from app.usecases import settling
from app.usecases.meter import Call
from tests.databases import sqlite_url
from tests.storage.making import DAY_0
from tests.usecases.spending import BILL, CREDIT, FINAL, HOLD_S, Desk, ask, open_desk


async def test_a_hold_whose_settle_never_happened_ends_expired_and_free(desk: Desk) -> None:
    await left_by_a_dead_process(desk, 1)
    desk.clock.turn(HOLD_S)
    assert await desk.meter.settler.sweep() == 0
    desk.clock.turn(0.000_001)
    assert await desk.meter.settler.sweep() == 1
    assert await desk.call(*FINAL) == ("expired", "interrupted", 0, "none", "B13")
    assert await desk.call("ended_at") == (desk.clock.now,)
    assert await desk.money() == (CREDIT, 0)


async def left_by_a_dead_process(desk: Desk, calls: int, limits: Limits | None = None) -> list[Call]:
    """Calls that were admitted and never ended."""
    wanted = ask(1) if limits is None else ask(1, limits)
    return [await desk.meter.admit(desk.principal, wanted) for _ in range(calls)]


async def test_the_sweeper_goes_on_sweeping(desk: Desk, nursery: trio.Nursery) -> None:
    nursery.start_soon(desk.meter.settler.run_sweeper, 0.01, 0.01)
    for _ in range(3):
        await left_by_a_dead_process(desk, 2)
        desk.clock.turn(HOLD_S + 1)
        with trio.fail_after(5):
            while await desk.open_holds():  # noqa: ASYNC110 - the books tell nobody
                await trio.sleep(0.01)


async def test_more_holds_than_one_sweep_takes_are_taken_by_the_next(database_url: str) -> None:
    async with open_desk(database_url, deadline_s=60.0) as desk:
        await left_by_a_dead_process(desk, 1005)
        desk.clock.turn(HOLD_S + 1)
        assert [await desk.meter.settler.sweep() for _ in range(3)] == [1000, 5, 0]
        assert await desk.money() == (CREDIT, 0)


async def test_what_a_sweep_has_ended_stays_ended_when_the_database_goes_away_in_its_middle(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_by_a_dead_process(desk, 5)
    desk.clock.turn(HOLD_S + 1)
    settler, write, writes = desk.meter.settler, desk.db.write, 0

    async def write_twice(tenant_id: str, job: Callable[[Transaction], int]) -> int:
        nonlocal writes
        writes += 1
        if writes > 2:
            raise Problem("storage_unavailable", "The database is away.")
        return await write(tenant_id, job)

    with monkeypatch.context() as patch:
        patch.setattr(settling, "SWEPT_IN_ONE", 2)
        patch.setattr(desk.db, "write", write_twice)
        assert await settler.sweep() is None
    assert settler.swept == 4
    assert await desk.open_holds() == 1
    assert await settler.sweep() == 1


async def test_a_sweep_without_a_database_is_tried_again_later(database_url: str) -> None:
    async with open_desk(database_url, deadline_s=0.1) as desk:
        await left_by_a_dead_process(desk, 1)
        desk.clock.turn(HOLD_S + 1)
        with desk.locked():
            assert await desk.meter.settler.sweep() is None
        assert await desk.meter.settler.sweep() == 1


async def test_a_settle_after_the_sweep_finds_the_call_ended(desk: Desk) -> None:
    async with desk.meter.open_call(desk.principal, ask()) as call:
        desk.clock.turn(HOLD_S + 1)
        await desk.meter.settler.sweep()
        assert (await call.post(BILL)).state == "expired"
    assert await desk.money() == (CREDIT, 0)


async def test_settle_and_sweep_at_once_have_one_effect(desk: Desk) -> None:
    for _ in range(50):
        (call,) = await left_by_a_dead_process(desk, 1)
        desk.clock.turn(HOLD_S + 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.meter.settler.sweep)
            nursery.start_soon(call.post, BILL)
            nursery.start_soon(desk.meter.settler.sweep)
        assert await desk.open_holds() == 0
    charged = await desk.db.read(
        desk.tenant_id, lambda t: t.one("SELECT COUNT(*) FROM calls WHERE charge = 60 AND state = 'posted'")
    )
    assert charged is not None
    assert await desk.money() == (CREDIT - 60 * charged[0], 0)


async def test_a_hold_grows_by_steps_ahead_of_the_cost_and_stops_at_the_ceiling(desk: Desk) -> None:
    async with desk.meter.open_call(desk.principal, ask(100)) as call:
        assert await call.cover(75, 50, 220)
        assert call.hold_ucr == 100
        assert await call.cover(76, 50, 220)
        assert call.hold_ucr == 150
        assert await call.cover(180, 50, 220)
        assert call.hold_ucr == 220
        assert await desk.money() == (CREDIT, 220)
        commits = len(desk.engine.batches)
        assert await call.cover(219, 50, 220)
        assert (call.hold_ucr, len(desk.engine.batches)) == (220, commits)


async def test_a_hold_that_grows_lives_longer(desk: Desk) -> None:
    async with desk.meter.open_call(desk.principal, ask(100)) as call:
        desk.clock.turn(HOLD_S - 1)
        assert await call.cover(90, 50, None)
        desk.clock.turn(HOLD_S - 1)
        assert await desk.meter.settler.sweep() == 0


async def test_the_last_credits_are_held_too_and_then_growing_is_over(database_url: str) -> None:
    async with open_desk(database_url, credit=120) as desk, desk.meter.open_call(desk.principal, ask(100)) as call:
        assert await call.cover(90, 50, None)
        commits = len(desk.engine.batches)
        assert [await call.cover(cost, 50, None) for cost in (119, 120, 121)] == [True, True, False]
        assert len(desk.engine.batches) == commits
        assert await desk.money() == (120, 120)


async def test_a_call_that_costs_nothing_never_writes_to_grow(desk: Desk) -> None:
    async with desk.meter.open_call(desk.principal, ask(0)) as call:
        commits = len(desk.engine.batches)
        assert await call.cover(0, 0, None)
        assert len(desk.engine.batches) == commits


async def outcomes(desk: Desk, calls: int, hold: int, limits: Limits) -> list[str]:
    """Open `calls` calls at once and keep all that are admitted open; returns what each got."""
    results: list[str] = []
    everyone_asked = trio.Event()

    def note(result: str) -> None:
        results.append(result)
        if len(results) == calls:
            everyone_asked.set()

    async def run() -> None:
        try:
            async with desk.meter.open_call(desk.principal, ask(hold, limits)) as call:
                note("admitted")
                await everyone_asked.wait()
                await call.post(Bill("completed", hold, "provider_usage", "B5"))
        except Problem as problem:
            note(problem.code)

    async with trio.open_nursery() as nursery:
        for _ in range(calls):
            nursery.start_soon(run)
        await everyone_asked.wait()
    return sorted(results)


FREE_RATE = Rate(1_000_000)


@pytest.mark.parametrize("covered", [0, 1, 17, 299])
async def test_of_300_calls_at_once_exactly_those_pass_that_the_balance_covers(database_url: str, covered: int) -> None:
    async with open_desk(database_url, credit=covered * 100 + 99) as desk:
        refusal = "credits_held" if covered else "insufficient_credits"
        limits = Limits(FREE_RATE, concurrency=1000)
        assert await outcomes(desk, 300, 100, limits) == sorted(["admitted"] * covered + [refusal] * (300 - covered))
        assert await desk.money() == (99, 0)


async def test_rate_concurrency_and_cap_are_exact_under_load(desk: Desk) -> None:
    rated = await outcomes(desk, 50, 1, Limits(Rate(10), concurrency=1000))
    assert rated == ["admitted"] * 10 + ["rate_limit_exceeded"] * 40
    desk.clock.turn(3600)
    crowded = await outcomes(desk, 50, 1, Limits(FREE_RATE, concurrency=7))
    assert crowded == ["admitted"] * 7 + ["too_many_concurrent_requests"] * 43
    capped = await outcomes(desk, 50, 1, Limits(FREE_RATE, concurrency=1000, monthly_calls=20))
    assert capped == ["admitted"] * 3 + ["too_many_concurrent_requests"] * 47
    used_up = await outcomes(desk, 5, 1, Limits(FREE_RATE, concurrency=1000, monthly_calls=20))
    assert used_up == ["quota_exceeded"] * 5


async def test_a_key_that_changed_opens_nothing_until_it_is_read_again(desk: Desk) -> None:
    who = desk.principal
    await desk.db.write(desk.tenant_id, lambda t: keys.revoke_key(t, who.tenant_id, who.key_id))
    with pytest.raises(StaleKey):
        async with desk.meter.open_call(who, ask()):
            pytest.fail("admitted with a revoked key")
    assert await desk.open_holds() == 0


async def test_without_a_database_nothing_begins_and_afterwards_everything_does(database_url: str) -> None:
    async with open_desk(database_url, deadline_s=0.1) as desk:
        with desk.locked(), pytest.raises(Problem) as caught:
            async with desk.meter.open_call(desk.principal, ask()):
                pytest.fail("served without a hold")
        assert (caught.value.status, caught.value.code) == (503, "storage_unavailable")
        async with desk.meter.open_call(desk.principal, ask()) as call:
            await call.post(BILL)
        assert await desk.call("state", "opened_at") == ("posted", DAY_0)


async def test_a_full_disk_refuses_calls_and_keeps_the_books(tmp_path: Path) -> None:
    async with open_desk(sqlite_url(tmp_path)) as desk:
        await desk.db.write(desk.tenant_id, lambda t: t.one("PRAGMA max_page_count = 1"))
        served: list[int] = []

        async def serve_until_refused() -> None:
            while len(served) < 2000:
                async with desk.meter.open_call(desk.principal, ask(0)) as call:
                    served.append((await call.post(Bill("completed", 1, "provider_usage", "B5"))).charge)

        with pytest.raises(Problem, match="storage_unavailable"):
            await serve_until_refused()
        await desk.db.write(desk.tenant_id, lambda t: t.one("PRAGMA max_page_count = 1000000"))
        async with desk.meter.open_call(desk.principal, ask(0)) as call:
            assert (await call.post(BILL)).charge == 60
        assert await desk.money() == (CREDIT - sum(served) - 60, 0)
        assert served
