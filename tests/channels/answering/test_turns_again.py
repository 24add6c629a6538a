"""A turn that runs again, makes room or meets what nobody expected: nothing is paid for or done twice, nothing of it
is left open for ever, and nobody makes a bot work for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio

from app.core.errors import Problem
from app.storage import bot_turns
from app.storage.bot_turns import LegTaken
from channels.answering import deciding
from channels.answering.asking import ToolCall
from channels.answering.lanes import Nudge
from tests.channels.answering.models import TOOL, asks_a_price, calls, hello_again
from tests.channels.stage import COST, Stage, open_stage, until_asked
from tests.databases import ON_BOTH

pytestmark = ON_BOTH


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Stage]:
    """Its bot asks for a price before it answers."""
    async with open_stage(database_url, config={"tools": [TOOL]}, script=asks_a_price) as opened:
        yield opened


async def die(stage: Stage, at_question: int) -> None:
    """Play, and be killed while the model is asked for that time; then the lease is over."""
    script = stage.script

    async def hang_then(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        if len(stage.asked) == at_question:
            await trio.sleep_forever()
        return await script(body)

    stage.script = hang_then
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.play, "dies")
        await until_asked(stage, at_question)
        nursery.cancel_scope.cancel()
    stage.script = script
    stage.clock.turn(61)


async def is_due(stage: Stage) -> bool:
    return await stage.rows("SELECT COUNT(*) FROM lanes WHERE due_at IS NOT NULL") == [(1,)]


async def test_a_turn_that_has_paid_and_called_a_function_makes_no_room(shop: Stage) -> None:
    async def interrupted(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        if len(shop.asked) == 2:
            await shop.hear("and coffee?")
        return await asks_a_price(body)

    shop.script = interrupted
    await shop.hear("what is the tea?")
    await shop.play()
    assert await shop.said() == ["It is 5."]
    assert await shop.charged() == 2 * COST
    assert len(shop.hooks.posted) == 1
    assert await shop.dispositions() == ["answered", "open"]
    assert await is_due(shop)


async def test_what_came_after_a_turn_died_waits_for_its_end_and_is_answered_next(shop: Stage) -> None:
    await shop.hear("what is the tea?")
    await die(shop, at_question=2)
    await shop.hear("and coffee?")
    await shop.play("b")
    assert await shop.said() == ["It is 5."]
    assert await shop.charged() == 2 * COST
    assert len(shop.hooks.posted) == 1
    assert await shop.dispositions() == ["answered", "open"]
    assert await is_due(shop)
    await shop.play("b")
    assert await shop.dispositions() == ["answered", "answered"]
    assert not await is_due(shop)


async def test_a_turn_that_died_before_it_paid_takes_in_what_came_after_it(stage: Stage) -> None:
    await stage.hear("hello")
    await die(stage, at_question=1)
    await stage.hear("and coffee?")
    await stage.play("b")
    assert await stage.said() == ["Hello!"]
    assert await stage.dispositions() == ["answered", "answered"]


async def test_words_on_record_end_the_turn_when_the_bot_has_learnt_to_take_them_so(database_url: str) -> None:
    async def asks_for_people(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return "Somebody will come.", calls(("handoff", {"reason": "angry"}))

    async with open_stage(database_url, config={"handoff_tool": False}, script=asks_for_people) as stage:
        await stage.hear("this is broken")
        await die(stage, at_question=2)
        await stage.db.write(stage.tenant_id, lambda db: db.do("UPDATE bots SET config = '{}'"))
        await stage.play("b")
        assert await stage.said() == ["Somebody will come."]
        assert await stage.dispositions() == ["answered"]
        assert await stage.charged() == COST
        assert await stage.rows("SELECT status, autoreply FROM conversations") == [("escalated", 0)]


async def test_a_model_that_calls_functions_it_is_no_longer_offered_is_told_of_as_a_failure(shop: Stage) -> None:
    async def obsessed(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return "", calls(("price", {}))

    shop.script = obsessed
    await shop.hear("hello")
    await shop.play()
    assert (await shop.said())[0].startswith("Sorry")
    assert await shop.dispositions() == ["failed"]
    assert await shop.charged() == 8 * COST


async def test_an_organisation_that_is_suspended_while_functions_run_ends_the_turn(shop: Stage) -> None:
    async def suspended(url: str, headers: Any, body: bytes) -> Any:
        raise Problem("account_inactive", "This account is suspended.")

    async def asks_twice(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return "", calls(("price", {}), ("price", {}))

    shop.script = asks_twice
    shop.hooks.post = suspended  # type: ignore[method-assign]  # no host
    await shop.hear("what is the tea?")
    await shop.play()
    assert await shop.dispositions() == ["no_credits"]
    assert not await is_due(shop)


async def test_a_leg_is_one_calls_however_often_it_is_written(stage: Stage) -> None:
    def put(call_id: str) -> Any:
        return lambda db: bot_turns.put_leg(db, stage.tenant_id, "turn_1", "llm:1", call_id, '"a"', 1)

    await stage.db.write(stage.tenant_id, put("call_1"))
    await stage.db.write(stage.tenant_id, put("call_1"))
    with pytest.raises(LegTaken):
        await stage.db.write(stage.tenant_id, put("call_2"))
    assert await stage.rows("SELECT call_id FROM turn_legs") == [("call_1",)]


async def test_who_makes_the_bot_work_for_nothing_is_handed_to_people(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message is taken back as its answer is written: that is free, and must not go on for ever."""
    monkeypatch.setattr(deciding, "LOOP_BEGUN", 3)
    written: list[str] = []

    async def taken_back(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await stage.db.write(stage.tenant_id, lambda db: bot_turns.dispose(db, stage.tenant_id, written, "revoked"))
        return "Hello!", []

    stage.script = taken_back
    for _ in range(4):
        written.append(await stage.hear("hello"))
        await stage.play()
        stage.clock.turn(1)
    assert len(stage.asked) == 3
    assert await stage.charged() == 0
    assert await stage.dispositions() == ["revoked", "revoked", "revoked", "loop"]
    assert await stage.rows("SELECT status, autoreply, flag FROM conversations") == [("escalated", 0, "loop")]


async def test_the_bots_own_words_go_out_in_parts_that_the_provider_takes(database_url: str) -> None:
    words = "We are closed. " * 200
    async with open_stage(database_url, config={"unsupported_message": words}) as stage:
        await stage.db.write(stage.tenant_id, lambda db: db.do("UPDATE numbers SET provider = 'twilio'"))
        await stage.hear("", "video")
        await stage.play()
        parts = await stage.said()
    assert len(parts) == 2
    assert all(len(part) <= 1600 for part in parts)
    assert " ".join(parts).split() == words.split()


async def test_more_from_the_user_and_a_turn_that_dies_leave_nothing_open(shop: Stage) -> None:
    """The nudge comes after the turn has paid: it is looked at, and nothing is given up."""
    asked = trio.Event()
    go_on = trio.Event()

    async def slow(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        if len(shop.asked) == 2:
            asked.set()
            await go_on.wait()
        return await asks_a_price(body)

    shop.script = slow
    nudge = Nudge()
    await shop.hear("what is the tea?")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.play, "a", nudge)
        await asked.wait()
        await shop.hear("and coffee?")
        nudge.tell(99)
        await trio.sleep(0.1)
        go_on.set()
    assert await shop.said() == ["It is 5."]
    shop.script = hello_again
    await shop.play()
    assert await shop.said() == ["It is 5.", "Hello again!"]
    assert await shop.dispositions() == ["answered", "answered"]
    assert msgspec.json.encode(shop.asked[-1]["messages"]).count(b"and coffee?") == 1
