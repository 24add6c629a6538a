"""Endings and extensions that meet in the database: two processes' worth of writers on one database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable

import trio

from app.core.errors import Problem
from app.storage import ledger
from app.storage.ledger import Closing, Ending
from app.usecases.meter import Call
from tests.databases import ON_BOTH
from tests.e2e.two_meters import HOLD, PAIRS, ask, bill, in_crowd, open_desk, together

pytestmark = ON_BOTH


async def test_of_two_settlements_of_a_call_one_counts_and_both_are_told_which(database_url: str) -> None:
    winners: Counter[int] = Counter()
    async with open_desk(database_url) as desk:
        here, there = desk.meters

        async def settle_twice(number: int) -> None:
            async with here.open_call(desk.principal, ask()) as call:
                other = Closing("posted", "completed", 200, "provider_usage", "B5", "{}", desk.clock.now)

                async def post_late() -> Ending:
                    await trio.sleep(number % 7 / 1000)  # each engine gathers writes for a while: either may be first
                    return await call.post(bill(100))

                async def end_late() -> Ending:
                    await trio.sleep(number % 5 / 1000)
                    return await there.settler.end(call.tenant_id, call.id, other, other)

                first, second = await together(post_late, end_late)
            assert isinstance(first, Ending)
            assert first == second
            assert desk.ledger.row(call.id).charge == first.charge
            winners[first.charge] += 1

        await in_crowd(PAIRS, settle_twice)
        assert winners.total() == PAIRS
        assert winners.keys() == {100, 200}
        assert desk.money() == (10**9 - sum(charge * times for charge, times in winners.items()), 0)
    print(f"\nsettle/settle: {dict(winners)}")


async def test_a_settlement_and_the_sweeper_end_a_call_once(database_url: str) -> None:
    endings: Counter[str] = Counter()
    async with open_desk(database_url) as desk:
        here, there = desk.meters

        async def settle_late(number: int) -> None:
            async with here.open_call(desk.principal, ask()) as call:
                desk.clock.now += 61_000_000
                ending, _ = await together(lambda: call.post(bill(100)), there.settler.sweep)
            assert isinstance(ending, Ending)
            row = desk.ledger.row(call.id)
            assert (row.state, row.charge) == (ending.state, ending.charge)
            assert (ending.state, ending.charge) in {("posted", 100), ("expired", 0)}
            endings[ending.state] += 1

        await in_crowd(PAIRS, settle_late, size=1)
        assert endings.total() == PAIRS
        assert desk.money() == (10**9 - 100 * endings["posted"], 0)
    print(f"\nsettle/sweeper: {dict(endings)}")


async def test_of_two_extensions_that_want_the_last_credits_one_gets_them(database_url: str) -> None:
    async with open_desk(database_url, credit=3 * HOLD) as desk:
        here, there = desk.meters
        for _ in range(PAIRS):
            async with here.open_call(desk.principal, ask()) as one, there.open_call(desk.principal, ask()) as other:
                # Each is used up and wants a step as large as its hold: there is enough for one.
                grown = await together(lambda: cover(one), lambda: cover(other))
                assert Counter(grown) == Counter([True, False])
                assert desk.money() == (3 * HOLD, 3 * HOLD)
                assert sorted(row.hold for row in desk.ledger.rows("state = 'held'")) == [HOLD, 2 * HOLD]
        assert desk.money() == (3 * HOLD, 0)


def cover(call: Call) -> Awaitable[bool]:
    return call.cover(HOLD + 1, HOLD - 1, None)


async def test_an_extension_and_a_settlement_of_one_call_leave_nothing_held(database_url: str) -> None:
    async with open_desk(database_url) as desk:
        here, there = desk.meters

        async def end_while_growing(number: int) -> None:
            async with here.open_call(desk.principal, ask()) as call:
                closing = Closing("posted", "completed", 700, "provider_usage", "B5", "{}", desk.clock.now)
                await together(
                    lambda: cover(call), lambda: there.settler.end(call.tenant_id, call.id, closing, closing)
                )

        await in_crowd(PAIRS, end_while_growing)
        assert desk.money() == (10**9 - 700 * PAIRS, 0)


async def test_a_purchase_and_a_call_that_needs_it_meet_without_harm(database_url: str) -> None:
    passed = 0
    async with open_desk(database_url, credit=0) as desk:
        here, there = desk.meters
        for number in range(PAIRS):

            def top_up(number: int = number) -> Awaitable[object]:
                who, order = desk.customer.tenant_id, f"order-{number}"
                return there.db.write(who, lambda db: ledger.credit(db, who, "purchase", HOLD, order, desk.clock.now))

            async def spend() -> Ending:
                async with here.open_call(desk.principal, ask()) as call:
                    return await call.post(bill(HOLD))

            _, spent = await together(top_up, spend)
            if isinstance(spent, Problem):
                assert spent.code == "insufficient_credits"
                await spend()
            else:
                passed += 1
            assert desk.money() == (0, 0)
    print(f"\npurchase/hold: {passed} of {PAIRS} calls came after the purchase")
