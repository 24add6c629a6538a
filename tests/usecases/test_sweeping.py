"""Sweeps go on after a whole portion, rest after a smaller one, and outlive a database that is away."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from app.core.errors import Problem
from app.usecases.sweeping import SWEEP_S, run_sweeps


async def test_a_whole_portion_is_followed_by_the_next_and_a_failure_by_the_next_time(
    autojump_clock: MockClock,
) -> None:
    results: list[int | Problem] = [10, 10, 3, Problem("storage_unavailable", "away"), 0]
    times: list[float] = []

    async def sweep() -> int:
        times.append(trio.current_time())
        if not results:
            await trio.sleep_forever()
        result = results.pop(0)
        if isinstance(result, Problem):
            raise result
        return result

    began = trio.current_time()
    with trio.move_on_after(5 * SWEEP_S):
        await run_sweeps("tests", sweep, 10, 1.0)
    expected = [SWEEP_S, SWEEP_S + 1, SWEEP_S + 2, 2 * SWEEP_S + 2, 3 * SWEEP_S + 2, 4 * SWEEP_S + 2]
    assert [round(at - began, 6) for at in times] == expected
