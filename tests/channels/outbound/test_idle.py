"""A number that only waits is looked at by reading: no process writes to a database for nothing."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from app.providers.whatsapp.line import TemplateContent
from app.storage import send_queue
from app.storage.database import Transaction
from app.storage.send_queue import Pace
from channels.outbound.taking import ERROR_US, LOOK_US, OLD_US, Idle
from tests.channels.sending import HOUR, SECOND, Shop, Street, open_shop, running
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0


@pytest.fixture
def shop(db: Transaction) -> Shop:
    return open_shop(db)


@ON_BOTH
def test_something_to_send_to_drop_or_to_put_off_is_something_to_do(db: Transaction, shop: Shop) -> None:
    assert shop.idle(db) == Idle(DAY_0 + LOOK_US)
    shop.say(db, "one")
    assert shop.idle(db) is None
    assert shop.idle(db, DAY_0 + 25 * HOUR) is None, "its window is shut: it is to be dropped"
    shop.set(db, "contacts", shop.contact_id, paused_until=DAY_0 + HOUR)
    assert shop.idle(db) is None, "to be put off"
    shop.take_nothing(db)
    assert shop.idle(db) == Idle(DAY_0 + LOOK_US)


@ON_BOTH
def test_what_waits_for_a_part_before_it_waits(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one", "two")
    shop.take_one(db)
    assert shop.idle(db, DAY_0 + SECOND) == Idle(DAY_0 + SECOND + LOOK_US)


@ON_BOTH
def test_a_number_in_error_has_something_to_do_when_what_waits_is_too_old(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    shop.set(db, "numbers", shop.number_id, state="error")
    assert shop.idle(db, DAY_0 + OLD_US) == Idle(DAY_0 + OLD_US + ERROR_US)
    assert shop.idle(db, DAY_0 + OLD_US + 1) is None


@ON_BOTH
def test_paces_are_waited_for(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    send_queue.set_pace(db, shop.tenant_id, shop.number_id, Pace(0, 0, DAY_0 + HOUR, 0))
    assert shop.idle(db) == Idle(DAY_0 + HOUR, pace=True)
    send_queue.set_pace(db, shop.tenant_id, shop.number_id, Pace(0, 0, 0, DAY_0 + HOUR))
    assert shop.idle(db) == Idle(DAY_0 + ERROR_US)
    shop.open(db)
    shop.say(db, TemplateContent("hello"), origin="template")
    assert shop.idle(db) is None


@pytest.mark.parametrize("why", ["error", "spam", "a part before"])
async def test_a_process_that_only_waits_writes_nothing(
    autojump_clock: MockClock, street: Street, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def make(db: Transaction) -> Shop:
        shop = open_shop(db)
        one, _ = shop.say(db, "one", "two", origin="human")
        if why == "error":
            shop.set(db, "numbers", shop.number_id, state="error")
        if why == "spam":
            shop.set(db, "numbers", shop.number_id, spam_until=DAY_0 + HOUR)
        if why == "a part before":
            shop.set(db, "sends", one, state="unknown")
        return shop

    await street.do(make)
    written: list[str] = []
    write = street.db.write

    async def counted(scope: str, job: Any) -> Any:
        written.append(scope)
        return await write(scope, job)

    monkeypatch.setattr(street.db, "write", counted)
    async with running(street.senders()):
        await trio.sleep(60)
    assert (written, street.provider.letters) == ([], [])
