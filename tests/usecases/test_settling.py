"""Endings that find the database away: written when it is back, free for who was told so, and never twice."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import Any, Final

import pytest
import trio

from app.core.billing import Bill
from app.core.errors import Problem
from app.storage.ledger import Closing
from app.usecases import settling
from tests.databases import elsewhere
from tests.storage.making import DAY_0, open_call
from tests.usecases.spending import BILL, CREDIT, FINAL, HOLD_S, Desk, ask, open_desk

#: Of a gateway that gives up soon.
HURRIED: Final[dict[str, Any]] = {"deadline_s": 0.1, "settle_s": 0.2}
CUT = Bill("cancelled", 40, "tokenizer_estimate", "B3")


async def settle_behind_a_lock(desk: Desk) -> None:
    """An answer that is finished while the database is away for too long: its client is told so."""
    async with AsyncExitStack() as stack:
        call = await stack.enter_async_context(desk.meter.open_call(desk.principal, ask()))
        with desk.locked(), pytest.raises(Problem, match="could not be accounted for"):
            await call.post(BILL)
        with desk.locked():
            await stack.aclose()


async def test_what_could_not_be_settled_is_ended_free_when_the_database_is_back(database_url: str) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        await settle_behind_a_lock(desk)
        assert await desk.call("state") == ("held",)
        assert desk.meter.settler.backlog == 1
        await desk.meter.settler.flush()
        assert await desk.call(*FINAL) == ("voided", "failed", 0, "none", "B13")
        assert (await desk.money(), desk.meter.settler.backlog) == ((CREDIT, 0), 0)


async def test_a_flush_while_the_database_is_away_keeps_everything(database_url: str) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        await settle_behind_a_lock(desk)
        with desk.locked():
            await desk.meter.settler.flush()
        assert desk.meter.settler.backlog == 1
        await desk.meter.settler.flush()
        assert desk.meter.settler.backlog == 0


async def test_a_client_that_left_still_pays_when_the_database_is_back(database_url: str) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        with ExitStack() as stack, trio.CancelScope() as scope:
            async with desk.meter.open_call(desk.principal, ask()) as call:
                call.on_cancel = lambda: CUT
                stack.enter_context(desk.locked())
                scope.cancel()
                await trio.sleep_forever()
        assert await desk.call("state") == ("held",)
        await desk.meter.settler.flush()
        assert await desk.call(*FINAL) == ("posted", "cancelled", 40, "tokenizer_estimate", "B3")


async def test_the_settler_ends_by_itself_what_waits(database_url: str, nursery: trio.Nursery) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        await settle_behind_a_lock(desk)
        nursery.start_soon(desk.meter.settler.run)
        with trio.fail_after(5):
            while await desk.open_holds():  # noqa: ASYNC110 - the books tell nobody
                await trio.sleep(0.01)


async def test_what_the_sweeper_ended_stays_as_it_is(database_url: str) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        await settle_behind_a_lock(desk)
        desk.clock.turn(HOLD_S + 1)
        assert await desk.meter.settler.sweep() == 1
        await desk.meter.settler.flush()
        assert await desk.call(*FINAL) == ("expired", "interrupted", 0, "none", "B13")
        assert (await desk.money(), desk.meter.settler.backlog) == ((CREDIT, 0), 0)


async def test_two_flushes_at_once_end_a_call_once(database_url: str) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        await settle_behind_a_lock(desk)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(desk.meter.settler.flush)
        assert (await desk.money(), desk.meter.settler.backlog) == ((CREDIT, 0), 0)


async def test_an_admission_that_was_refused_too_early_is_ended_when_it_turns_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        settler = desk.meter.settler
        settler.end_later(desk.tenant_id, "late", Closing.unasked(DAY_0))
        await settler.flush()
        assert settler.backlog == 1
        elsewhere(database_url, partial(open_call, principal=desk.principal, call_id="late"))
        await settler.flush()
        assert await desk.call(*FINAL) == ("voided", "failed", 0, "none", "B1")
        assert settler.backlog == 0
        monkeypatch.setattr(settling, "MAY_APPEAR_S", 0.0)
        settler.end_later(desk.tenant_id, "never", Closing.unasked(DAY_0))
        await settler.flush()
        assert settler.backlog == 0


async def test_an_admission_behind_a_lock_leaves_no_hold_behind(database_url: str) -> None:
    async with open_desk(database_url, **HURRIED) as desk:
        with desk.locked(), pytest.raises(Problem, match="storage_unavailable"):
            async with desk.meter.open_call(desk.principal, ask()):
                pytest.fail("served without a hold")
        assert desk.meter.settler.backlog == 1
        await desk.meter.settler.flush()
        assert await desk.open_holds() == 0
