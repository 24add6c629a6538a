"""Admissions that meet in two processes: a revoked key, a rate, concurrency and a monthly cap are exact."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import trio

from app.core.errors import Problem
from app.core.ledger import Limits
from app.core.limits import Rate
from app.storage import keys
from app.storage.ledger import StaleKey
from tests.databases import ON_BOTH
from tests.e2e.settlement import until
from tests.e2e.two_meters import NO_LIMIT, PAIRS, ask, bill, in_crowd, open_desk, together

pytestmark = ON_BOTH


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
