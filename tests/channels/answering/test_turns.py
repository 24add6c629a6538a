"""A turn is answered once and charged once, whatever crashes, hangs, is taken over or comes in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio

from app.core.errors import Problem
from app.providers.receivers import Unreachable
from app.storage import bot_turns, lanes
from channels.answering import turns as turns_module
from channels.answering.asking import ToolCall
from channels.answering.deciding import MINUTE_US
from channels.answering.lanes import Nudge
from channels.conversations import people
from tests.channels.stage import COST, SECOND_US, Stage, open_stage, until_asked
from tests.databases import ON_BOTH

pytestmark = ON_BOTH
TOOL = {"name": "price", "url": "https://shop.example/price", "description": "The price of a thing."}


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with open_stage(database_url) as opened:
        yield opened


async def turns(stage: Stage) -> list[tuple[str, int]]:
    return await stage.rows("SELECT state, attempts FROM turns ORDER BY state")


async def fail(_body: dict[str, Any]) -> Any:
    raise Problem("provider_error", "All providers failed.")


async def hang(_body: dict[str, Any]) -> Any:
    await trio.sleep_forever()


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


async def hello_again(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
    return "Hello again!", []


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
    tried = 0

    async def rests_once(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise Problem("provider_error", "Every provider is resting.", retry_after_s=0.01)
        return "Hello!", []

    await stage.hear("hello")
    stage.script = rests_once
    await stage.play()
    assert await stage.said() == ["Hello!"]


async def test_a_limit_that_passes_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE_S", 0.01)
    tried = 0

    async def busy_once(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise Problem("rate_limit_exceeded", "Wait.", retry_after_s=0.01)
        return "Hello!", []

    await stage.hear("hello")
    stage.script = busy_once
    await stage.play()
    assert await stage.said() == ["Hello!"]
    assert tried == 2


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


def calls(*named: tuple[str, dict[str, Any]]) -> list[ToolCall]:
    return [
        ToolCall(f"call_{number}", name, msgspec.json.encode(arguments).decode())
        for number, (name, arguments) in enumerate(named)
    ]


async def asks_a_price(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
    if body["messages"][-1]["role"] == "tool":
        return "It is 5.", []
    return "", calls(("price", {"thing": "tea"}))


async def test_a_function_is_called_signed_and_each_question_to_the_model_is_charged(database_url: str) -> None:
    async with open_stage(database_url, config={"tools": [TOOL]}, script=asks_a_price) as stage:
        await stage.hear("what is the tea?")
        await stage.play()
        assert await stage.said() == ["It is 5."]
        assert await stage.charged() == 2 * COST
        ((url, headers, body),) = stage.hooks.posted
        assert (url, body) == (TOOL["url"], b'{"thing":"tea"}')
        ((turn_id,),) = await stage.rows("SELECT id FROM turns")
        assert headers["Idempotency-Key"] == f"{turn_id}:1:0"
        assert headers["X-CallMissed-Signature"].startswith("sha256=")
        assert {row[0] for row in await stage.rows("SELECT leg FROM turn_legs")} == {"llm:1", "tool:1:0", "llm:2"}
        assert stage.asked[1]["messages"][-1] == {
            **{"role": "tool", "tool_call_id": "call_0", "content": '{"price": 5}'}
        }


async def test_a_turn_that_crashed_goes_on_behind_what_it_has_paid_for(database_url: str) -> None:
    questions = 0

    async def dies_then_answers(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        nonlocal questions
        questions += 1
        if questions == 2:
            await trio.sleep_forever()
        return await asks_a_price(body)

    async with open_stage(database_url, config={"tools": [TOOL]}, script=dies_then_answers) as stage:
        await stage.hear("what is the tea?")
        with trio.move_on_after(0.3):
            await stage.play()
        stage.clock.turn(61)
        await stage.play("b")
        assert await stage.said() == ["It is 5."]
        assert await stage.charged() == 2 * COST
        assert len(stage.hooks.posted) == 1


async def test_a_function_that_fails_is_told_to_the_model(database_url: str) -> None:
    async with open_stage(database_url, config={"tools": [TOOL]}, script=asks_a_price) as stage:

        async def away(url: str, headers: Any, body: bytes) -> Any:
            raise Unreachable("no")

        stage.hooks.post = away  # type: ignore[method-assign]
        await stage.hear("what is the tea?")
        await stage.play()
        assert stage.asked[1]["messages"][-1]["content"] == '{"error":"it could not be reached"}'


async def test_functions_without_end_are_ended(database_url: str) -> None:
    async def never_done(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return ("", calls(("price", {}))) if "tools" in body else ("Enough.", [])

    async with open_stage(database_url, config={"tools": [TOOL]}, script=never_done) as stage:
        await stage.hear("hello")
        await stage.play()
        assert await stage.said() == ["Enough."]
        assert len(stage.asked) == 9


async def test_a_function_that_the_bot_does_not_have_is_none(stage: Stage) -> None:
    async def curious(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return ("Done.", []) if body["messages"][-1]["role"] == "tool" else ("", calls(("rm_rf", {})))

    stage.script = curious
    await stage.hear("hello")
    await stage.play()
    assert stage.hooks.posted == []
    assert await stage.said() == ["Done."]


async def test_the_model_hands_over_with_its_own_last_sentence(stage: Stage) -> None:
    async def hands_over(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return "I will fetch somebody.", calls(("handoff", {"reason": "angry"}))

    stage.script = hands_over
    await stage.hear("this is broken")
    await stage.play()
    assert await stage.said() == ["I will fetch somebody."]
    assert await stage.rows("SELECT status, autoreply, flag FROM conversations") == [("escalated", 0, "handoff")]
    assert await stage.charged() == COST
    assert await stage.rows("SELECT origin, state FROM sends") == [("notice", "queued")]


async def test_choices_go_out_as_choices(database_url: str) -> None:
    async def chooses(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return "", calls(("reply_buttons", {"text": "Which one?", "choices": ["Tea", "Coffee"]}))

    async with open_stage(database_url, config={"reply_buttons": True}, script=chooses) as stage:
        await stage.hear("a drink")
        await stage.play()
        ((kind, body),) = await stage.rows("SELECT kind, body FROM sends")
        assert kind == "choice"
        assert msgspec.json.decode(body)["choices"] == [["choice:1", "Tea"], ["choice:2", "Coffee"]]


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
        assert await stage.rows(f"SELECT DISTINCT tenant_id FROM {table}") == [(stage.tenant_id,)]  # noqa: S608
