"""A template is paid for once, when it has arrived, whoever looks and however often."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from app.core.sends import TEMPLATE_UCR
from app.providers.whatsapp.line import TemplateContent
from app.storage import ledger
from app.storage.database import Database, Transaction
from app.usecases.meter import Meter
from channels.outbound.template_charges import OWED_FOR_US, TemplateCharges
from tests.books import open_books
from tests.channels.sending import Shop, open_shop
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0
from tests.usecases.spending import Clock

pytestmark = ON_BOTH
START = 10_000_000


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_books(database_url) as opened:
        yield opened


@asynccontextmanager
async def other(url: str) -> AsyncIterator[Database]:
    async with open_books(url) as opened:
        yield opened


def charges(db: Database, clock: Clock | None = None) -> TemplateCharges:
    clock = clock or Clock()
    return TemplateCharges(db, Meter(db, clock=clock), clock=clock)


async def arrived(db: Database, *states: str) -> Shop:
    """A shop with templates in these states."""

    def make(db: Transaction) -> Shop:
        shop = open_shop(db)
        for state in states:
            (one,) = shop.say(db, TemplateContent("hello"), origin="template")
            shop.set(db, "sends", one, state=state)
        return shop

    return await db.write("*", make)


async def spent(db: Database, shop: Shop) -> int:
    balance, held = await db.read(shop.tenant_id, lambda read: ledger.balance(read, shop.tenant_id))
    assert held == 0
    return START - balance


async def test_only_what_has_arrived_is_paid_for_and_only_once(db: Database) -> None:
    states = ("queued", "accepted", "sent", "delivered", "read", "failed", "dropped")
    shop = await arrived(db, *states)
    await db.write("*", lambda write: shop.set(write, "sends", shop.say(write, "text")[0], state="delivered"))
    service = charges(db)
    assert [await service.look(), await service.look()] == [2, 0]
    assert await spent(db, shop) == 2 * TEMPLATE_UCR
    rows = await db.read("*", lambda read: read.all("SELECT endpoint, category, model, key_id, charge FROM calls"))
    assert rows == [("whatsapp", "message", "template", shop.bot_id, TEMPLATE_UCR)] * 2
    paid = await db.read("*", lambda read: shop.rows(read, "charge_id"))
    assert [bool(charge) for charge in paid] == [False, False, False, True, True, False, False, False]


async def test_two_processes_charge_it_once(database_url: str, db: Database) -> None:
    shop = await arrived(db, *["delivered"] * 10)
    async with other(database_url) as second, trio.open_nursery() as nursery:
        for each in (db, second):
            nursery.start_soon(charges(each).look)
    assert await spent(db, shop) == 10 * TEMPLATE_UCR


async def test_what_is_not_there_is_not_owed(db: Database) -> None:
    shop = await arrived(db, "delivered")
    await db.write("*", lambda write: ledger.credit(write, shop.tenant_id, "adjust", 1 - START, "out", DAY_0))
    assert await charges(db).look() == 1
    assert await spent(db, shop) == START
    rows = await db.read("*", lambda read: read.all("SELECT charge, uncollected FROM calls"))
    assert rows == [(1, TEMPLATE_UCR - 1)]


async def test_a_suspended_organisation_holds_up_no_other(db: Database) -> None:
    first = await arrived(db, "delivered")
    await db.write("*", lambda write: write.do("UPDATE tenants SET status = 'suspended'"))
    second = await db.write("*", lambda write: open_shop(write, "Bolt"))
    await db.write(
        "*",
        lambda write: second.set(
            write, "sends", second.say(write, TemplateContent("hello"), origin="template")[0], state="read"
        ),
    )
    service = charges(db)
    assert await service.look() == 1
    assert (await spent(db, first), await spent(db, second)) == (0, TEMPLATE_UCR)
    await db.write("*", lambda write: write.do("UPDATE tenants SET status = 'active'"))
    assert await service.look() == 1


async def test_what_could_not_be_charged_for_a_week_is_let_go(db: Database) -> None:
    shop = await arrived(db, "delivered")
    clock = Clock()
    clock.turn(OWED_FOR_US / 1e6 + 1)
    assert await charges(db, clock).look() == 0
    assert await spent(db, shop) == 0
