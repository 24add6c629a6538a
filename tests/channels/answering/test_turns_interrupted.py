"""Whatever comes in between while a turn runs: more from the user, a person who takes over, a message taken back."""

from __future__ import annotations

from typing import Any

import trio

from app.storage import bot_turns
from channels.answering.asking import ToolCall
from channels.answering.lanes import Nudge
from channels.conversations import people
from tests.channels.answering.models import hang, hello_again
from tests.channels.stage import COST, Stage, until_asked
from tests.databases import ON_BOTH

pytestmark = ON_BOTH


async def turns(stage: Stage) -> list[tuple[str, int]]:
    return await stage.rows("SELECT state, attempts FROM turns ORDER BY state")


async def test_what_comes_while_the_model_thinks_is_answered_together_and_charged_once(stage: Stage) -> None:
    await stage.hear("hello")
    stage.script = hang
    nudge = Nudge()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.play, "a", nudge)
        await until_asked(stage)
        await stage.hear("and coffee?")
        stage.script = hello_again
        nudge.tell(99)
    assert await stage.said() == ["Hello again!"]
    assert await stage.charged() == COST
    assert await turns(stage) == [("answered", 1), ("superseded", 1)]
    assert await stage.dispositions() == ["answered", "answered"]


async def test_what_comes_just_before_the_answer_is_written_down_is_answered_with_it(stage: Stage) -> None:
    """Nobody was told in time: the transaction itself sees it, and the first answer is free."""
    await stage.hear("hello")

    async def interrupted(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        if len(stage.asked) == 1:
            await stage.hear("and coffee?")
        return f"Answer {len(stage.asked)}", []

    stage.script = interrupted
    await stage.play()
    assert await stage.said() == ["Answer 2"]
    assert await stage.charged() == COST


async def test_a_user_who_never_stops_is_answered_all_the_same(stage: Stage) -> None:
    await stage.hear("hello")

    async def interrupted(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await stage.hear(f"more {len(stage.asked)}")
        return f"Answer {len(stage.asked)}", []

    stage.script = interrupted
    await stage.play()
    assert await stage.said() == ["Answer 3"]
    assert await stage.charged() == COST
    assert await stage.dispositions() == ["answered", "answered", "answered", "open"]
    assert await stage.rows("SELECT COUNT(*) FROM lanes WHERE due_at IS NOT NULL") == [(1,)]


async def take_over(stage: Stage) -> None:
    def write(db: Any) -> None:
        people.silence(db, stage.tenant_id, stage.conversation_id, stage.clock.now, escalate=False)

    await stage.db.write(stage.tenant_id, write)


async def test_a_person_who_takes_over_ends_the_turn_unsaid_and_free(stage: Stage) -> None:
    await stage.hear("hello")
    stage.script = hang
    nudge = Nudge()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.play, "a", nudge)
        await until_asked(stage)
        await take_over(stage)
        nudge.tell(99)
    assert await stage.said() == []
    assert await stage.charged() == 0
    assert await stage.dispositions() == ["human"]
    assert await turns(stage) == [("dropped", 1)]


async def test_a_person_who_takes_over_as_the_answer_is_written_down_wins(stage: Stage) -> None:
    await stage.hear("hello")

    async def taken(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await take_over(stage)
        return "Hello!", []

    stage.script = taken
    await stage.play()
    assert await stage.said() == []
    assert await stage.charged() == 0


async def test_a_message_that_was_taken_back_is_not_answered(stage: Stage) -> None:
    message_id = await stage.hear("hello")

    async def revoked(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await stage.db.write(
            stage.tenant_id, lambda db: bot_turns.dispose(db, stage.tenant_id, [message_id], "revoked")
        )
        return "Hello!", []

    stage.script = revoked
    await stage.play()
    assert await stage.said() == []
    assert await stage.charged() == 0
