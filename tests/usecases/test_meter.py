"""The meter: every way of leaving a call ends it exactly once, charged what the settlement table says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest
import trio
import trio.testing

from app.core.billing import Bill
from app.usecases.meter import Call
from tests.usecases.spending import BILL, CREDIT, FINAL, Desk, ask, open_desk

CUT = Bill("cancelled", 40, "tokenizer_estimate", "B3")
FAILED = ("voided", "failed", 0, "none", "B6")


class BugError(Exception):
    """What a call's work may raise."""


async def forget(_: Call) -> None:
    await trio.lowlevel.checkpoint()


async def crash(_: Call) -> None:
    raise BugError


async def post(call: Call) -> None:
    assert (await call.post(BILL)).charge == 60


async def post_and_crash(call: Call) -> None:
    await call.post(BILL)
    raise BugError


async def void(call: Call) -> None:
    await call.void("failed", "B7")


async def post_after_void(call: Call) -> None:
    await call.void("failed", "B7")
    assert (await call.post(BILL)).state == "voided"


async def post_twice(call: Call) -> None:
    first = await call.post(BILL)
    assert await call.post(Bill("completed", 999, "provider_usage", "B5")) is first


async def leave_at_once(call: Call) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.lowlevel.checkpoint()
    await post(call)


async def crash_in_a_nursery(call: Call) -> None:
    call.on_cancel = lambda: CUT
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        raise BugError


LEAVING: list[tuple[Callable[[Call], Awaitable[None]], type[BaseException] | None, tuple[object, ...]]] = [
    (forget, None, FAILED),
    (crash, BugError, FAILED),
    (post, None, ("posted", "completed", 60, "provider_usage", "B5")),
    (post_and_crash, BugError, ("posted", "completed", 60, "provider_usage", "B5")),
    (post_twice, None, ("posted", "completed", 60, "provider_usage", "B5")),
    (void, None, ("voided", "failed", 0, "none", "B7")),
    (post_after_void, None, ("voided", "failed", 0, "none", "B7")),
    (leave_at_once, None, ("posted", "completed", 60, "provider_usage", "B5")),
    (crash_in_a_nursery, BaseExceptionGroup, FAILED),
]


@pytest.mark.parametrize(("work", "raised", "final"), LEAVING)
async def test_every_way_of_leaving_ends_the_call_once(
    desk: Desk, work: Callable[[Call], Awaitable[None]], raised: type[BaseException] | None, final: tuple[object, ...]
) -> None:
    async def run() -> None:
        async with desk.meter.open_call(desk.principal, ask()) as call:
            assert await desk.money() == (CREDIT, 100)
            await work(call)

    if raised is None:
        await run()
    else:
        with pytest.raises(raised):
            await run()
    assert await desk.call(*FINAL) == final
    assert await desk.money() == (CREDIT - int(str(final[2])), 0)


async def sleep(_: Call) -> None:
    await trio.sleep_forever()


async def sleep_in_a_nursery(_: Call) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(trio.sleep_forever)


async def sleep_after_post(call: Call) -> None:
    await call.post(BILL)
    await trio.sleep_forever()


async def crash_when_cancelled(_: Call) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        try:
            await trio.sleep_forever()
        finally:
            raise BugError


CANCELLED: list[tuple[Callable[[Call], Awaitable[None]], Bill | None, tuple[object, ...]]] = [
    (sleep, None, ("voided", "cancelled", 0, "none", "B2")),
    (sleep, CUT, ("posted", "cancelled", 40, "tokenizer_estimate", "B3")),
    (sleep, Bill("cancelled", 0, "usage_snapshot", "B3"), ("posted", "cancelled", 0, "usage_snapshot", "B3")),
    (sleep_in_a_nursery, CUT, ("posted", "cancelled", 40, "tokenizer_estimate", "B3")),
    (sleep_after_post, CUT, ("posted", "completed", 60, "provider_usage", "B5")),
]


async def cancelled(desk: Desk, work: Callable[[Call], Awaitable[None]], on_cancel: Callable[[], Bill] | None) -> None:
    """Open a call, do `work`, and cancel it when it waits."""
    opened = trio.Event()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            async with desk.meter.open_call(desk.principal, ask()) as call:
                if on_cancel is not None:
                    call.on_cancel = on_cancel
                opened.set()
                await work(call)

        nursery.start_soon(run)
        await opened.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("work", "bill", "final"), CANCELLED)
async def test_a_client_that_leaves_pays_what_it_owed_at_that_moment(
    desk: Desk, work: Callable[[Call], Awaitable[None]], bill: Bill | None, final: tuple[object, ...]
) -> None:
    await cancelled(desk, work, None if bill is None else lambda: bill)
    assert await desk.call(*FINAL) == final
    assert await desk.money() == (CREDIT - int(str(final[2])), 0)


async def test_a_crash_on_the_way_out_is_ours_and_free(desk: Desk) -> None:
    with pytest.raises(BaseExceptionGroup):
        await cancelled(desk, crash_when_cancelled, lambda: CUT)
    assert await desk.call(*FINAL) == FAILED


async def test_what_a_leaving_client_owes_is_asked_once(desk: Desk) -> None:
    asked: list[str] = []

    def bill() -> Bill:
        asked.append("asked")
        return CUT

    await cancelled(desk, sleep, bill)
    assert asked == ["asked"]
    assert await desk.call("charge") == (40,)


async def test_a_bill_that_cannot_be_made_is_ours_and_frees_the_hold(desk: Desk) -> None:
    def bill() -> Bill:
        raise BugError

    await cancelled(desk, sleep, bill)
    assert await desk.call(*FINAL) == FAILED
    assert await desk.money() == (CREDIT, 0)


async def test_the_receipt_is_kept_with_the_final_row(desk: Desk) -> None:
    async with desk.meter.open_call(desk.principal, ask()) as call:
        call.receipt["attempts"] = [{"provider": "openrouter"}]
        await call.post(BILL)
    assert await desk.call("receipt", "request_id", "model", "streamed") == (
        *('{"attempts":[{"provider":"openrouter"}]}', "req_1", "kimi-k2.5", 1),
    )


async def leave_while_the_gate_is_shut(desk: Desk, nursery: trio.Nursery) -> None:
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked(0.01)
        desk.engine.gate.set()


async def test_a_client_that_leaves_during_admission_leaves_no_hold(desk: Desk) -> None:
    desk.engine.gate = trio.Event()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            async with desk.meter.open_call(desk.principal, ask()):
                await trio.lowlevel.checkpoint()
                pytest.fail("the work began although its client had left")

        nursery.start_soon(run)
        await leave_while_the_gate_is_shut(desk, nursery)
    assert await desk.call(*FINAL) == ("voided", "cancelled", 0, "none", "B2")
    assert await desk.money() == (CREDIT, 0)


async def test_a_client_that_leaves_during_the_settle_has_paid(desk: Desk) -> None:
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            async with desk.meter.open_call(desk.principal, ask()) as call:
                call.on_cancel = lambda: CUT
                desk.engine.gate = trio.Event()
                nursery.start_soon(leave_while_the_gate_is_shut, desk, nursery)
                await call.post(BILL)
                await trio.lowlevel.checkpoint()
                pytest.fail("the cancel was swallowed")

        nursery.start_soon(run)
    assert await desk.call(*FINAL) == ("posted", "completed", 60, "provider_usage", "B5")


async def release_after(seconds: float, release: Callable[[], None]) -> None:
    await trio.sleep(seconds)
    release()


async def test_a_settle_waits_for_a_database_that_is_locked_for_a_while(
    database_url: str, nursery: trio.Nursery
) -> None:
    async with open_desk(database_url, deadline_s=0.1) as desk:
        async with desk.meter.open_call(desk.principal, ask()) as call:
            with desk.locked() as release:
                nursery.start_soon(release_after, 0.7, release)
                assert (await call.post(BILL)).charge == 60
        assert await desk.money() == (CREDIT - 60, 0)


async def test_a_leaving_client_is_charged_although_the_database_is_locked_for_a_while(
    database_url: str, nursery: trio.Nursery
) -> None:
    async with open_desk(database_url, deadline_s=0.1) as desk:
        with ExitStack() as stack, trio.CancelScope() as scope:
            async with desk.meter.open_call(desk.principal, ask()) as call:
                call.on_cancel = lambda: CUT
                release = stack.enter_context(desk.locked())
                nursery.start_soon(release_after, 0.7, release)
                scope.cancel()
                await trio.sleep_forever()
        assert await desk.call("charge", "rule") == (40, "B3")
