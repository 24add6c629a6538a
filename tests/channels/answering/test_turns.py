"""A turn is answered once and charged once, whatever crashes, hangs, fails or must be waited for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from app.core.errors import Problem
from app.storage import lanes
from channels.answering import turns as turns_module
from channels.answering.asking import ToolCall
from channels.answering.deciding import MINUTE_US
from channels.conversations import people
from tests.channels.answering.models import fail, fails_once, hang, hello_again
from tests.channels.stage import COST, SECOND_US, Stage, open_stage
from tests.databases import ON_BOTH

pytestmark = ON_BOTH


async def turns(stage: Stage) -> list[tuple[str, int]]:
    return await stage.rows("SELECT state, attempts FROM turns ORDER BY state")


async def test_what_the_user_wrote_in_one_go_is_answered_once_and_charged_once(stage: Stage) -> None:
    await stage.hear("hello")
    await stage.hear("do you have tea?")
    await stage.play()
    assert await stage.said() == ["Hello!"]
    assert await stage.charged() == COST
    assert await stage.dispositions() == ["answered", "answered"]
    assert await turns(stage) == [("answered", 1)]
    (body,) = stage.asked
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert msgspec.json.encode(body["messages"][1]).count(b"do you have tea?") == 1
    assert await stage.rows("SELECT session_id, trace_id FROM calls") == await stage.rows(
        "SELECT conversation_id, id FROM turns"
    )


async def test_the_answer_before_is_told_to_the_model(stage: Stage) -> None:
    await stage.hear("hello")
    await stage.play()
    stage.clock.turn(5)
    await stage.hear("and coffee?")
    await stage.play()
    roles = [(message["role"], message["content"]) for message in stage.asked[1]["messages"][1:]]
    assert roles == [("user", "hello"), ("assistant", "Hello!"), ("user", "and coffee?")]
    assert await stage.said() == ["Hello!", "Hello!"]


async def test_the_user_sees_that_it_was_read(stage: Stage) -> None:
    await stage.hear("hello")
    await stage.hear("there?")
    await stage.play()
    assert stage.line.typing == ["wamid.2"]


async def test_a_process_that_dies_while_the_model_answers_costs_nothing_and_another_answers(stage: Stage) -> None:
    await stage.hear("hello")
    stage.script = hang
    with trio.move_on_after(0.2) as killed:
        await stage.play("a")
    assert killed.cancelled_caught
    assert await stage.charged() == 0
    stage.clock.turn(61)
    stage.script = hello_again
    await stage.play("b")
    assert await stage.said() == ["Hello again!"]
    assert await stage.charged() == COST
    assert await turns(stage) == [("answered", 2)]


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_turn_whose_process_died_and_that_nobody_runs_again_comes_to_an_end(
    stage: Stage, taken_over: bool
) -> None:
    await stage.hear("hello")
    stage.script = hang
    with trio.move_on_after(0.2):
        await stage.play("a")
    stage.clock.turn(61)
    stage.script = hello_again
    await stage.hear("is anybody there?")
    if taken_over:
        await stage.db.write(
            stage.tenant_id,
            lambda db: people.silence(db, stage.tenant_id, stage.conversation_id, stage.clock(), escalate=False),
        )
    await stage.play("b")
    assert await turns(stage) == ([("dropped", 1)] if taken_over else [("answered", 1), ("superseded", 1)])


async def test_a_turn_that_crashed_twice_is_answered_with_the_bots_own_words(stage: Stage) -> None:
    await stage.hear("hello")
    stage.script = hang
    for _ in range(2):
        with trio.move_on_after(0.2):
            await stage.play()
        stage.clock.turn(61)
    await stage.play()
    assert (await stage.said())[0].startswith("Sorry")
    assert await stage.dispositions() == ["failed"]
    assert await stage.charged() == 0
    assert await stage.rows("SELECT reason FROM turns") == [("crashed",)]


async def test_a_process_that_lost_its_lease_writes_and_charges_nothing(stage: Stage) -> None:
    await stage.hear("hello")

    async def lose(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        stage.clock.turn(61)
        at = stage.clock.now
        await stage.db.write(
            stage.tenant_id,
            lambda db: lanes.claim(db, stage.tenant_id, stage.conversation_id, "b", at, at + 60 * SECOND_US),
        )
        return "too late", []

    stage.script = lose
    await stage.play("a")
    assert await stage.said() == []
    assert await stage.charged() == 0
    assert await stage.dispositions() == ["open"]
    assert await stage.rows("SELECT owner FROM lanes") == [("b",)]


async def test_no_answer_is_told_in_the_bots_own_words_for_free(stage: Stage) -> None:
    await stage.hear("hello")
    stage.script = fail
    await stage.play()
    assert (await stage.said())[0].startswith("Sorry")
    assert await stage.charged() == 0
    assert await stage.dispositions() == ["failed"]
    assert await stage.rows("SELECT status, autoreply FROM conversations") == [("active", 1)]


async def test_after_two_failures_in_a_row_people_are_called(stage: Stage) -> None:
    stage.script = fail
    for _ in range(2):
        await stage.hear("hello")
        await stage.play()
        stage.clock.turn(1)
    assert await stage.rows("SELECT status, autoreply, flag FROM conversations") == [("escalated", 0, "failed_turns")]
    assert len(await stage.said()) == 2


async def test_an_answer_in_between_makes_the_next_failure_the_first(stage: Stage) -> None:
    for script in (fail, hello_again, fail):
        stage.script = script
        await stage.hear("hello")
        await stage.play()
        stage.clock.turn(1)
    assert await stage.rows("SELECT status, autoreply FROM conversations") == [("active", 1)]


async def test_without_credits_nothing_is_asked_and_one_notice_a_day_is_sent(database_url: str) -> None:
    async with open_stage(database_url, credit=50) as stage:
        for _ in range(2):
            await stage.hear("hello")
            await stage.play()
            stage.clock.turn(60)
        assert stage.asked == []
        assert await stage.said() == ["Thank you for your message. We will get back to you soon."]
        assert await stage.dispositions() == ["no_credits", "no_credits"]
        assert await stage.rows("SELECT status, flag FROM conversations") == [("escalated", "no_credits")]


async def test_a_model_that_rests_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' failures made it rest: one of them must not be forty users who are told that nothing works."""
    monkeypatch.setattr(turns_module, "PATIENCE_S", 0.01)
    await stage.hear("hello")
    stage.script = fails_once(Problem("provider_error", "Every provider is resting.", retry_after_s=0.01))
    await stage.play()
    assert await stage.said() == ["Hello!"]


async def test_a_limit_that_passes_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE_S", 0.01)
    await stage.hear("hello")
    stage.script = fails_once(Problem("rate_limit_exceeded", "Wait.", retry_after_s=0.01))
    await stage.play()
    assert await stage.said() == ["Hello!"]
    assert len(stage.asked) == 2


async def test_a_late_answer_begins_with_an_apology(stage: Stage) -> None:
    await stage.hear("hello")
    stage.clock.now += 16 * MINUTE_US
    await stage.play()
    assert await stage.said() == ["Sorry for the late answer.\n\nHello!"]


async def test_a_long_answer_goes_out_in_parts_and_is_kept_whole(stage: Stage) -> None:
    text = "\n\n".join(f"Paragraph {number}. " + "word " * 200 for number in range(12))

    async def long(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return text, []

    stage.script = long
    await stage.hear("tell me all")
    await stage.play()
    parts = await stage.rows("SELECT part, turn_id FROM sends ORDER BY seq")
    assert [part for part, _ in parts] == [1, 2, 3, 4]
    ((content,),) = await stage.rows("SELECT content FROM messages WHERE role = 'assistant'")
    assert content == text


async def test_a_turn_with_nothing_to_answer_leaves_the_lane_at_rest(stage: Stage) -> None:
    await stage.hear("", "sticker")
    await stage.play()
    assert stage.asked == []
    assert await stage.said() == []
    assert await stage.dispositions() == ["unsupported"]
    assert await stage.rows("SELECT due_at FROM lanes") == [(None,)]


async def test_nothing_of_a_turn_is_without_its_tenant(stage: Stage) -> None:
    await stage.hear("hello")
    await stage.play()
    for table in ("messages", "sends", "turns", "turn_legs", "lanes"):
        assert await stage.rows(f"SELECT DISTINCT tenant_id FROM {table}") == [(stage.tenant_id,)]  # noqa: S608 - ours
