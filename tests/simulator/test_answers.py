"""What is said, and what it costs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.tokens import count_messages, count_text
from scripts.simulator.answers import Answer, compose
from scripts.simulator.chat_request import ChatRequest
from scripts.simulator.cues import read_cues
from scripts.simulator.settings import Settings
from tests.simulator.asking import chat_body

TOOL = {
    "type": "function",
    "function": {"name": "find_town", "parameters": {"type": "object", "properties": {"town": {"type": "string"}}}},
}
OTHER = {"type": "function", "function": {"name": "roll_dice"}}


def answer(text: str = "hi", **fields: Any) -> Answer:
    request = msgspec.convert(chat_body(text, **fields), ChatRequest)
    return compose(request, read_cues(request.model, text), frozenset(), Settings(), "id")


def text_of(given: Answer, choice: int = 0) -> str:
    return "".join(piece.text for piece in given.choices[choice].content)


def test_an_answer_is_forty_tokens_and_stops() -> None:
    given = answer()
    assert (given.completion_tokens, count_text(text_of(given)), given.choices[0].finish) == (40, 40, "stop")


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(("limit", "length", "finish"), [(7, 7, "length"), (40, 40, "stop"), (99, 40, "stop")])
def test_a_limit_below_the_natural_length_cuts_the_answer(field: str, limit: int, length: int, finish: str) -> None:
    given = answer("hi", **{field: limit})
    assert (given.completion_tokens, given.choices[0].finish) == (length, finish)


def test_the_prompt_may_ask_for_another_length() -> None:
    assert answer("[tokens=200]").completion_tokens == 200
    assert answer("[tokens=200]", max_tokens=50).choices[0].finish == "length"


def test_the_same_prompt_gets_the_same_answer() -> None:
    assert answer("x", n=3) == answer("x", n=3)


def test_the_prompt_costs_what_the_shared_counter_says() -> None:
    body = chat_body("How far is the moon?", tools=[TOOL])
    given = answer("How far is the moon?", tools=[TOOL])
    assert given.prompt_tokens == count_messages(body["messages"], body["tools"])


def test_each_of_n_choices_is_paid() -> None:
    given = answer(n=3, max_tokens=10)
    assert (len({text_of(given, index) for index in range(3)}), given.completion_tokens) == (3, 30)


def test_choices_take_turns() -> None:
    assert [event.choice for event in answer(n=2, max_tokens=2).events()] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "fields",
    [{"reasoning_effort": "low"}, {"reasoning": {"effort": "high"}}, {"reasoning": {"max_tokens": 100}}],
)
def test_reasoning_is_part_of_the_completion(fields: dict[str, Any]) -> None:
    given = answer("[reasoning=9]", **fields)
    assert (given.reasoning_tokens, given.completion_tokens) == (9, 49)


@pytest.mark.parametrize("fields", [{}, {"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}])
def test_without_effort_there_is_no_reasoning(fields: dict[str, Any]) -> None:
    assert answer(**fields).reasoning_tokens == 0


def test_reasoning_can_use_up_the_limit() -> None:
    given = answer("[reasoning=9]", reasoning_effort="low", max_tokens=5)
    assert (given.reasoning_tokens, text_of(given), given.choices[0].finish) == (5, "", "length")


def test_a_tool_call_fits_its_schema_and_its_cost_is_its_text() -> None:
    given = answer("[tool]", tools=[TOOL])
    (call,) = given.choices[0].calls
    assert (call.name, msgspec.json.decode(call.arguments)) == ("find_town", {"town": "Pune"})
    assert given.completion_tokens == count_text("find_town") + count_text(call.arguments)
    assert given.choices[0].finish == "tool_calls"


def test_the_prompt_may_name_the_tool_to_call() -> None:
    (call,) = answer("[tool=roll_dice]", tools=[TOOL, OTHER]).choices[0].calls
    assert call.name == "roll_dice"
    assert answer("[tool=fly]", tools=[TOOL, OTHER]).choices[0].calls == ()


def test_parallel_calls_go_through_the_tools() -> None:
    calls = answer("[tools=2]", tools=[TOOL, OTHER]).choices[0].calls
    assert [(call.position, call.name) for call in calls] == [(0, "find_town"), (1, "roll_dice")]
    assert calls[0].id != calls[1].id


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "roll_dice"}}])
def test_a_forced_tool_is_called_without_a_cue(choice: Any) -> None:
    (call,) = answer(tools=[TOOL, OTHER], tool_choice=choice).choices[0].calls
    assert call.name == ("find_town" if choice == "required" else "roll_dice")


@pytest.mark.parametrize("fields", [{}, {"tools": [TOOL], "tool_choice": "none"}])
def test_without_tools_to_use_the_answer_is_text(fields: dict[str, Any]) -> None:
    assert answer("[tool]", **fields).choices[0].finish == "stop"


def test_after_a_tool_result_the_turn_ends_in_words() -> None:
    request = msgspec.convert(chat_body("[tool]", tools=[TOOL], tool_choice="required"), ChatRequest)
    request.messages.append({"role": "assistant", "content": None, "tool_calls": []})
    request.messages.append({"role": "tool", "tool_call_id": "call_1", "content": "sunny"})
    given = compose(request, read_cues("m", "[tool]"), frozenset(), Settings(), "id")
    assert given.choices[0].calls == ()
    assert given.choices[0].finish == "stop"


def test_json_mode_answers_json() -> None:
    given = answer(response_format={"type": "json_object"})
    assert list(msgspec.json.decode(text_of(given))) == ["answer"]
    assert given.completion_tokens == count_text(text_of(given))


def test_a_json_schema_is_kept() -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    given = answer(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert msgspec.json.decode(text_of(given)) == {"ok": True}


def test_image_parts_are_accepted_and_counted() -> None:
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    request = msgspec.convert({"model": "m", "messages": [{"role": "user", "content": parts}]}, ChatRequest)
    assert compose(request, read_cues("m", ""), frozenset(), Settings(), "id").prompt_tokens > 200


def test_cached_tokens_stay_inside_the_prompt() -> None:
    given = answer("[cached=999999]")
    assert given.cached_tokens == given.prompt_tokens
