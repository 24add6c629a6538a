"""What is written beside a settlement: kept with the charge, or neither is."""

from __future__ import annotations

from functools import partial

import pytest

from app.core.errors import Problem
from app.storage import responses
from app.storage.database import Transaction
from app.storage.ledger import Ending
from app.storage.responses import StoredResponse
from tests.storage.making import DAY_0
from tests.usecases.spending import BILL, CREDIT, FINAL, Desk, ask, open_desk

KEPT = StoredResponse("resp_1", DAY_0, DAY_0 + 1, None, "[]", "{}")


def store(desk: Desk, db: Transaction, _ending: Ending) -> None:
    responses.store(db, desk.tenant_id, KEPT)


async def stored(desk: Desk) -> StoredResponse | None:
    return await desk.db.read(desk.tenant_id, lambda db: responses.find(db, desk.tenant_id, KEPT.id, DAY_0))


async def test_it_is_there_once_the_call_is_charged(desk: Desk) -> None:
    async with desk.meter.open_call(desk.principal, ask()) as call:
        await call.post(BILL, partial(store, desk))
        assert await stored(desk) == KEPT
    assert await desk.money() == (CREDIT - BILL.cost_ucr, 0)


async def test_what_cannot_be_stored_leaves_the_call_uncharged(desk: Desk) -> None:
    def fail(db: Transaction, ending: Ending) -> None:
        store(desk, db, ending)
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        async with desk.meter.open_call(desk.principal, ask()) as call:
            await call.post(BILL, fail)
    assert await stored(desk) is None
    assert await desk.call(*FINAL) == ("voided", "failed", 0, "none", "B6")
    assert await desk.money() == (CREDIT, 0)


async def test_an_answer_that_could_not_be_settled_in_time_is_not_stored_later(database_url: str) -> None:
    async with open_desk(database_url, deadline_s=0.1, settle_s=0.2) as desk:
        async with desk.meter.open_call(desk.principal, ask()) as call:
            with desk.locked(), pytest.raises(Problem, match="could not be accounted for"):
                await call.post(BILL, partial(store, desk))
        await desk.meter.settler.flush()
        assert await stored(desk) is None
        assert await desk.call(*FINAL) == ("voided", "failed", 0, "none", "B13")
