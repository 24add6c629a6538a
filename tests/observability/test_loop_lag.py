"""A loop that is blocked is seen to be late, in the histogram and in the last ten seconds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock

from app.observability.loop_lag import LoopLag
from app.observability.metrics import Metrics
from tests.observability.reading import Page

LAG = "callmissed_loop_lag_seconds"


@asynccontextmanager
async def watched(metrics: Metrics) -> AsyncIterator[LoopLag]:
    lag = LoopLag(metrics.loop_lag_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lag.run)
        yield lag
        nursery.cancel_scope.cancel()


async def test_a_blocked_loop_is_late() -> None:
    metrics = Metrics()
    async with watched(metrics) as lag:
        for _ in range(3):
            await trio.sleep(0.05)
            time.sleep(0.25)  # noqa: ASYNC251 - what must never happen
        assert lag.p99_s() > 0.1
    page = await Page.of_metrics(metrics)
    assert page.value(f"{LAG}_bucket", le="+Inf") - page.value(f"{LAG}_bucket", le="0.1") >= 2


async def test_an_idle_loop_is_looked_at_ten_times_a_second_and_is_on_time(autojump_clock: MockClock) -> None:
    metrics = Metrics()
    async with watched(metrics) as lag:
        await trio.sleep(10.05)
        assert lag.p99_s() < 0.001
    assert (await Page.of_metrics(metrics)).value(f"{LAG}_count") == 100


async def test_one_stall_in_ten_seconds_is_a_hiccup_and_two_are_not(mock_clock: MockClock) -> None:
    lag = LoopLag(Metrics().loop_lag_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lag.run)
        for step_s in [0.1] * 50 + [2.0] + [0.1] * 48:
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(step_s)
        await trio.testing.wait_all_tasks_blocked()
        assert lag.p99_s() < 0.001
        mock_clock.jump(1.1)
        await trio.testing.wait_all_tasks_blocked()
        assert lag.p99_s() > 0.9
        nursery.cancel_scope.cancel()
