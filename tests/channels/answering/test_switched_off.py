"""A bot or a number that is switched off while a turn runs: the turn ends at once, in any process, and is free."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final

import pytest
import trio

from app.core.errors import Problem
from app.core.sealing import Sealer
from app.storage import lanes
from app.storage.bots import StoredBot, insert_bot
from app.storage.database import Database, Transaction
from app.usecases.bots import Bots
from channels.answering import lanes as service
from channels.answering.asking import ToolCall
from channels.answering.lanes import Lanes, Nudge
from channels.bell import Bell
from tests.books import open_books
from tests.channels.stage import COST, Stage, open_stage, say_hello, until_asked
from tests.databases import ON_BOTH
from tests.e2e.calling import until
from tests.house import SECRET

pytestmark = ON_BOTH
TOOL: Final = {"name": "price", "url": "https://shop.example/price", "description": "The price of a thing."}
Switch = Callable[[Stage, Database], Awaitable[object]]


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with open_stage(database_url, config={"tools": [TOOL]}) as opened:
        yield opened


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """The database as another process sees it."""
    async with open_books(database_url) as db:
        yield db


async def hang(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
    await trio.sleep_forever()
    raise AssertionError


async def toggled(stage: Stage, db: Database) -> None:
    await Bots(db, Sealer(SECRET), clock=stage.clock).toggle(stage.tenant_id, stage.bot_id)


async def deleted(stage: Stage, db: Database) -> None:
    await Bots(db, Sealer(SECRET), clock=stage.clock).delete(stage.tenant_id, stage.bot_id)


async def number_off(stage: Stage, db: Database) -> None:
    await db.write(stage.tenant_id, lambda write: write.do("UPDATE numbers SET autoreply = 0"))


async def number_given_away(stage: Stage, db: Database) -> None:
    def give(write: Transaction) -> None:
        insert_bot(write, stage.tenant_id, StoredBot("b", "whatsapp", "Ravi", "Be brief.", "{}", "", True, 1, 1))
        write.do("UPDATE numbers SET bot_id = 'b'")

    await db.write(stage.tenant_id, give)


async def prompt_emptied(stage: Stage, db: Database) -> None:
    await db.write(stage.tenant_id, lambda write: write.do("UPDATE bots SET system_prompt = ' '"))


SWITCHES: Final = [
    (toggled, "bot_off"),
    (deleted, "bot_off"),
    (number_off, "number_off"),
    (number_given_away, "number_off"),
]


async def ended_unanswered(stage: Stage, disposition: str) -> None:
    assert await stage.said() == []
    assert await stage.charged() == 0
    assert await stage.dispositions() == [disposition]
    assert await stage.rows("SELECT state, reason FROM turns") == [("dropped", "the bot was switched off")]
    assert await stage.rows("SELECT state FROM calls") == [("voided",)]


@pytest.mark.parametrize(("switch", "disposition"), SWITCHES)
async def test_a_model_that_is_asked_when_another_process_switches_the_bot_off_is_left_and_free(
    stage: Stage, other: Database, monkeypatch: pytest.MonkeyPatch, switch: Switch, disposition: str
) -> None:
    monkeypatch.setattr(service, "SILENT_EVERY_S", 0.05)
    stage.script = hang
    at_work = Lanes(stage.db, stage.turns, bell=Bell(), clock=stage.clock)

    async def idle() -> bool:
        return at_work.working == 0

    await stage.hear("hello")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(at_work.run, trio.Event(), trio.Event())
        await until_asked(stage)
        await switch(stage, other)
        await until(idle)
        nursery.cancel_scope.cancel()
    await ended_unanswered(stage, disposition)
    assert await stage.rows("SELECT due_at, owner FROM lanes") == [(None, "")]


@pytest.mark.parametrize(("switch", "disposition"), [*SWITCHES, (prompt_emptied, "no_prompt")])
async def test_an_answer_that_comes_after_the_bot_was_switched_off_is_free_though_nobody_had_noticed(
    stage: Stage, other: Database, switch: Switch, disposition: str
) -> None:
    async def answer(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await switch(stage, other)
        return "Hello!", []

    stage.script = answer
    await stage.hear("hello")
    await stage.play()
    await ended_unanswered(stage, disposition)


async def test_what_a_turn_has_paid_for_stays_paid_and_it_goes_no_further(stage: Stage, other: Database) -> None:
    async def ask_for_a_price(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        if len(stage.asked) == 2:
            await toggled(stage, other)
        return "", [ToolCall("call_1", "price", "{}")]

    stage.script = ask_for_a_price
    await stage.hear("how much is tea?")
    await stage.play()
    assert (len(stage.asked), await stage.charged()) == (2, COST)
    assert (await stage.said(), await stage.dispositions()) == ([], ["bot_off"])


async def test_words_that_excuse_a_failure_are_not_sent_for_a_bot_that_is_off(stage: Stage, other: Database) -> None:
    async def fail(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await toggled(stage, other)
        raise Problem("provider_error", "All providers failed.")

    stage.script = fail
    await stage.hear("hello")
    await stage.play()
    assert (await stage.said(), await stage.dispositions()) == ([], ["bot_off"])


async def test_who_switches_it_off_and_on_again_in_between_gets_the_answer(stage: Stage, other: Database) -> None:
    nudge = Nudge()

    async def answer(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await toggled(stage, other)
        await toggled(stage, other)
        nudge.doubt()
        await trio.sleep(0.1)
        return await say_hello(body)

    stage.script = answer
    await stage.hear("hello")
    await stage.play(nudge=nudge)
    assert (await stage.said(), await stage.charged()) == (["Hello!"], COST)


async def test_what_is_written_after_that_waits_for_nothing(stage: Stage, other: Database) -> None:
    async def answer(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await toggled(stage, other)
        await stage.hear("are you there?")
        return "Hello!", []

    stage.script = answer
    await stage.hear("hello")
    await stage.play()
    await stage.play()
    assert await stage.dispositions() == ["bot_off", "bot_off"]
    assert len(stage.asked) == 1


async def test_only_the_lanes_of_a_silent_bot_are_in_doubt_and_only_while_somebody_works_on_them(
    stage: Stage, other: Database
) -> None:
    await stage.hear("hello")
    tenant_id, conversation_id, at = stage.tenant_id, stage.conversation_id, stage.clock.now

    async def silent(owner: str = "a") -> list[str]:
        return await stage.db.read(tenant_id, partial(lanes.silent, owner=owner))

    def claim(db: Transaction) -> None:
        lanes.claim(db, tenant_id, conversation_id, "a", at, at + 60)

    await stage.db.write(tenant_id, claim)
    assert await silent() == []
    await toggled(stage, other)
    assert (await silent(), await silent("b"), await silent("")) == ([conversation_id], [], [])
    await stage.db.write(tenant_id, lambda db: lanes.leave(db, tenant_id, conversation_id, "a", 9))
    assert await silent() == []
