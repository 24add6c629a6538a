"""Turns in which the model calls functions: the bot's own over HTTP, and those of the house."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from app.providers.receivers import Unreachable
from channels.answering.asking import ToolCall
from tests.channels.answering.models import TOOL, asks_a_price, calls
from tests.channels.stage import COST, Stage, open_stage
from tests.databases import ON_BOTH

pytestmark = ON_BOTH


async def turns(stage: Stage) -> list[tuple[str, int]]:
    return await stage.rows("SELECT state, attempts FROM turns ORDER BY state")


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

        stage.hooks.post = away  # type: ignore[method-assign]  # no host
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
