"""What only the clock brings about: keys that expire, deliveries that waited or lay too long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import trio

from app.core.times import DAY_US, iso_time
from app.storage import keys
from app.storage.keys import KeySettings
from app.usecases import outbox_upkeep
from app.usecases.outbox_upkeep import WAITED, OutboxUpkeep
from tests.storage.making import DAY_0, SECRET
from tests.usecases.posting import Office, open_office, running


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with open_office(database_url) as opened:
        yield opened


async def add_key(office: Office, name: str, expires_us: int) -> tuple[str, str]:
    """(id, key) of a new key."""
    settings = KeySettings(name, expires_us=expires_us)
    return await office.db.write(
        office.tenant_id, lambda db: keys.create_key(db, office.tenant_id, SECRET, settings, DAY_0)
    )


async def test_a_key_that_expires_is_told_of_once_however_many_look(office: Office) -> None:
    await office.subscribe()
    key_id, key = await add_key(office, "brief", DAY_0 + 10)
    await add_key(office, "long", DAY_0 + DAY_US)
    upkeep = OutboxUpkeep(office.db, clock=office.clock)
    assert await upkeep.tell_of_expired_keys() == 0
    office.clock.turn(1)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(upkeep.tell_of_expired_keys)
    ((body,),) = await office.rows("body")
    data = {"id": key_id, "name": "brief", "hint": key[:8], "expired_at": iso_time(DAY_0 + 10)}
    told = {"event": "api_key.expired", "data": data, "timestamp": iso_time(office.clock())}
    assert msgspec.json.decode(body) == told
    assert key not in body


async def test_what_waited_for_a_day_is_given_up_and_after_a_month_it_is_gone(office: Office) -> None:
    await office.subscribe()
    await office.emit(3)
    upkeep = OutboxUpkeep(office.db, clock=office.clock)
    office.clock.now += DAY_US - 1
    assert (await upkeep.give_up(), await upkeep.sweep()) == (0, 0)
    office.clock.now += 1
    assert (await upkeep.give_up(), await upkeep.sweep()) == (3, 0)
    assert await office.rows("state, error") == [("failed", WAITED)] * 3
    office.clock.now += 29 * DAY_US
    assert (await upkeep.give_up(), await upkeep.sweep()) == (0, 3)
    assert await office.rows("id") == []


async def test_upkeep_goes_on_by_itself(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_upkeep, "EVERY_S", 0.05)
    await office.subscribe()
    await add_key(office, "brief", DAY_0)
    async with running(office.service()), trio.open_nursery() as nursery:
        nursery.start_soon(OutboxUpkeep(office.db, clock=office.clock).run)
        await office.states("delivered")
        nursery.cancel_scope.cancel()
    assert office.receivers.posted[0].headers["X-CallMissed-Event"] == "api_key.expired"
