"""Endings, extensions and admissions that meet in the database: two processes' worth of writers on one database."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import trio

from app.config import Settings
from app.core.billing import Bill
from app.core.errors import Problem
from app.core.identity import Principal, key_digest
from app.core.ledger import Limits
from app.core.limits import Rate
from app.main import open_storage
from app.storage import keys, ledger
from app.storage.database import EVERY_TENANT
from app.storage.ledger import Closing, Ending, StaleKey
from app.usecases.meter import Ask, Call, Meter
from tests.databases import ON_BOTH
from tests.e2e.settlement import LedgerView, open_ledger, until
from tests.house import SECRET, Customer, add_customer

pytestmark = ON_BOTH

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


async def test_a_revoked_key_starts_no_call_after_its_revocation(database_url: str) -> None:
    async with open_desk(database_url) as desk:
        here, there = desk.meters
        half, revoked = trio.Event(), trio.Event()
        passed: list[bool] = []

        async def spend(number: int) -> None:
            too_late = revoked.is_set()
            try:
                async with here.open_call(desk.principal, ask()) as call:
                    await call.post(bill(1))
            except StaleKey:
                return
            passed.append(too_late)
            if len(passed) == PAIRS // 2:
                half.set()

        async def revoke() -> None:
            await half.wait()
            await there.db.write(
                desk.customer.tenant_id, lambda db: keys.revoke_key(db, desk.customer.tenant_id, desk.customer.key_id)
            )
            revoked.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(revoke)
            await in_crowd(PAIRS, spend)
        assert not any(passed)
        assert PAIRS // 2 <= len(passed) < PAIRS
        assert desk.money() == (10**9 - len(passed), 0)


async def test_a_rate_is_exact_to_the_microsecond_across_two_processes(database_url: str) -> None:
    limits = replace(NO_LIMIT, rate=Rate(37))
    interval = math.ceil(60_000_000 / 37)
    async with open_desk(database_url) as desk:

        async def passing(count: int) -> int:
            """How many of `count` calls that come at this very moment, by both processes, may start."""

            async def start(number: int) -> bool:
                async with desk.meters[number % 2].open_call(desk.principal, ask(limits)):
                    return True

            results = await together(*[lambda number=number: start(number) for number in range(count)])
            assert {result.code for result in results if isinstance(result, Problem)} <= {"rate_limit_exceeded"}
            return results.count(True)

        assert await passing(300) == 37
        desk.clock.now += interval - 1
        assert await passing(50) == 0
        desk.clock.now += 1
        assert await passing(50) == 1
        desk.clock.now += 5 * interval
        assert await passing(50) == 5
        desk.clock.now += 3_600_000_000
        assert await passing(300) == 37


async def test_concurrency_and_a_monthly_cap_are_exact_across_two_processes(database_url: str) -> None:
    async with open_desk(database_url) as desk:

        async def started(limits: Limits, count: int) -> Counter[object]:
            """Calls that all run at once and then end well, and the refusals of the others."""
            gate = trio.Event()
            waiting = 0

            async def run(number: int) -> object:
                nonlocal waiting
                try:
                    async with desk.meters[number % 2].open_call(desk.principal, ask(limits)) as call:
                        waiting += 1
                        await gate.wait()
                        await call.post(bill(1))
                        return "passed"
                except Problem as problem:
                    waiting += 1
                    return problem.code

            async def open_gate() -> None:
                await until(lambda: waiting == count)
                gate.set()

            jobs = [lambda number=number: run(number) for number in range(count)]
            return Counter((await together(open_gate, *jobs))[1:])

        in_flight = await started(replace(NO_LIMIT, concurrency=13), 100)
        assert in_flight == {"passed": 13, "too_many_concurrent_requests": 87}
        capped = await started(replace(NO_LIMIT, monthly_calls=13 + 21), 100)
        assert capped == {"passed": 21, "too_many_concurrent_requests": 79}
        assert await started(replace(NO_LIMIT, monthly_calls=13 + 21), 20) == {"quota_exceeded": 20}
