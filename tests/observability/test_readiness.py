"""When a process says that it is not ready: each check by itself, and how little a probe costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
from trio.testing import MockClock

from app.core.errors import Problem
from app.observability.loop_lag import LoopLag
from app.observability.metrics import Metrics
from app.observability.readiness import ANSWER_S, FRESH_S, STALE_S, Readiness


@dataclass
class Gateway:
    """What a probe finds, to be changed at will."""

    stored: str = "abcdef0123456789"
    loaded: str = "abcdef0123456789"
    draining: bool = False
    database_is_away: bool = False
    database_hangs: bool = False
    asked: int = 0
    lag: LoopLag = field(default_factory=lambda: LoopLag(Metrics().loop_lag_s))

    async def digest(self) -> str:
        self.asked += 1
        if self.database_is_away:
            raise Problem("storage_unavailable", "away")
        if self.database_hangs:
            await trio.sleep_forever()
        return self.stored


@asynccontextmanager
async def probed(gateway: Gateway) -> AsyncIterator[Readiness]:
    readiness = Readiness(
        lag=gateway.lag,
        stored_digest=gateway.digest,
        loaded_digest=lambda: gateway.loaded,
        draining=lambda: gateway.draining,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readiness.run)
        yield readiness
        nursery.cancel_scope.cancel()


def bad(body: dict[str, Any]) -> dict[str, str]:
    return {name: check["status"] for name, check in body["checks"].items() if check["status"] != "ok"}


async def test_a_gateway_in_order_is_ready_and_shows_its_catalog(autojump_clock: MockClock) -> None:
    async with probed(Gateway()) as readiness:
        ready, body = await readiness.check()
    assert (ready, body["status"], bad(body)) == (True, "ready", {})
    assert body["checks"]["catalog"]["digest"] == "abcdef012345"


async def test_a_database_that_refuses_makes_it_unready_until_it_is_back(autojump_clock: MockClock) -> None:
    gateway = Gateway(database_is_away=True)
    async with probed(gateway) as readiness:
        ready, body = await readiness.check()
        assert (ready, body["status"], bad(body)) == (False, "not_ready", {"database": "unavailable"})
        gateway.database_is_away = False
        await trio.sleep(FRESH_S + 0.1)
        assert (await readiness.check())[0]


async def test_a_database_that_hangs_is_waited_for_two_seconds_and_asked_once(autojump_clock: MockClock) -> None:
    gateway = Gateway(database_hangs=True)
    async with probed(gateway) as readiness:
        for _ in range(3):
            began = trio.current_time()
            ready, body = await readiness.check()
            assert (ready, bad(body)) == (False, {"database": "unavailable"})
            assert trio.current_time() - began <= ANSWER_S
    assert gateway.asked == 1


async def test_an_answer_that_was_good_does_not_hide_a_database_that_hangs_now(autojump_clock: MockClock) -> None:
    gateway = Gateway()
    async with probed(gateway) as readiness:
        assert (await readiness.check())[0]
        gateway.database_hangs = True
        await trio.sleep(FRESH_S + 0.5)
        await readiness.check()
        assert not (await readiness.check())[0]


async def test_probes_within_a_second_ask_the_database_once(autojump_clock: MockClock) -> None:
    gateway = Gateway()
    async with probed(gateway) as readiness:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(readiness.check)
        await trio.sleep(FRESH_S / 2)
        await readiness.check()
        assert gateway.asked == 1
        await trio.sleep(FRESH_S)
        await readiness.check()
        assert gateway.asked == 2


async def test_another_catalog_than_the_stored_one_is_stale_after_a_while(autojump_clock: MockClock) -> None:
    gateway = Gateway(stored="another")
    async with probed(gateway) as readiness:
        assert (await readiness.check())[0]
        await trio.sleep(STALE_S + FRESH_S)
        ready, body = await readiness.check()
        assert (ready, bad(body)) == (False, {"catalog": "stale"})
        gateway.loaded = "another"
        await trio.sleep(FRESH_S + 0.1)
        assert (await readiness.check())[0]


async def test_a_catalog_that_was_reloaded_in_time_was_never_stale(autojump_clock: MockClock) -> None:
    gateway = Gateway(stored="another")
    async with probed(gateway) as readiness:
        await readiness.check()
        gateway.loaded = "another"
        await trio.sleep(STALE_S)
        await readiness.check()
        gateway.stored = "a third"
        await trio.sleep(FRESH_S + 0.1)
        assert (await readiness.check())[0]


async def test_a_draining_gateway_is_unready_at_once(autojump_clock: MockClock) -> None:
    gateway = Gateway()
    async with probed(gateway) as readiness:
        assert (await readiness.check())[0]
        gateway.draining = True
        ready, body = await readiness.check()
    assert (ready, bad(body)) == (False, {"drain": "draining"})


async def test_a_slow_loop_makes_it_unready(autojump_clock: MockClock) -> None:
    gateway = Gateway()
    gateway.lag.p99_s = lambda: 1.3  # type: ignore[method-assign]
    async with probed(gateway) as readiness:
        ready, body = await readiness.check()
    assert (ready, bad(body), body["checks"]["loop"]["p99_ms"]) == (False, {"loop": "slow"}, 1300)
