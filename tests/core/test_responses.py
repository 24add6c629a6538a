from __future__ import annotations

import json
from typing import Any

import pytest

from app.core.chat import ChatRequest
from app.core.errors import Problem
from app.core.packing import PORTION, Packer, unpack
from app.core.responses import chat_of, echo, in_our_words, parse_response
from app.core.responses_items import messages_of, short_call_id, stored_items
from app.core.responses_thoughts import wrapped
from tests.core.responses_order import KEYS

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "31"}


def asked(**fields: Any) -> Any:
    return parse_response(json.dumps({"input": "hi", **fields}).encode())


def chat(**fields: Any) -> ChatRequest:
    return chat_of(asked(**fields), [])


def said(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def test_a_string_is_one_message_and_instructions_come_first() -> None:
    assert chat(instructions="Be brief.").messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


@pytest.mark.parametrize(
    ("field", "there"),
    [
        ({"max_output_tokens": 7}, {"max_tokens": 7}),
        ({"temperature": 0.5, "top_p": 0.1}, {"temperature": 0.5, "top_p": 0.1}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        ({"text": {"format": {"type": "text"}}}, {}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True},
                }
            },
        ),
        (
            {"tools": [{"type": "function", "name": "f", "strict": None}], "tool_choice": "required"},
            {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
        ),
        (
            {"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"}},
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            },
        ),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True, "top_logprobs": 0}),
        ({"models": ["a/b"], "user": "u", "stream": True}, {"models": ["a/b"], "user": "u", "stream": True}),
        ({"store": True, "metadata": {"a": "b"}, "previous_response_id": None}, {}),
    ],
)
def test_each_field_has_its_place_in_the_chat_request(field: dict[str, Any], there: dict[str, Any]) -> None:
    assert {key: value for key, value in chat(**field).raw.items() if key != "messages"} == there


def test_what_one_turn_said_and_called_is_one_message() -> None:
    items = [said("user", "q"), said("assistant", "Let me see."), CALL, {**CALL, "call_id": "c2"}, OUTPUT]
    user, assistant, tool = messages_of(items)
    assert (user["role"], assistant["content"], tool["content"]) == ("user", "Let me see.", "31")
    assert [call["id"] for call in assistant["tool_calls"]] == ["c1", "c2"]


def test_a_call_before_its_text_is_in_one_message_too() -> None:
    (assistant, _) = messages_of([CALL, said("assistant", "I look."), OUTPUT])
    assert (assistant["content"], len(assistant["tool_calls"])) == ("I look.", 1)


def test_two_answers_in_a_row_stay_two_and_an_empty_one_is_kept() -> None:
    messages = messages_of([said("assistant", "a"), said("assistant", ""), said("assistant", "c")])
    assert [message["content"] for message in messages] == ["a", "", "c"]


def test_parts_become_the_parts_of_a_chat() -> None:
    parts = [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
    ]
    (message,) = messages_of([said("user", parts)])
    assert message["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
    ]
    assert chat(input=[said("user", parts)]).has_images


def test_an_output_with_an_image_is_seen_as_one() -> None:
    image = [{"type": "input_image", "image_url": "https://example.com/a.png"}]
    assert chat(input=[CALL, {**OUTPUT, "output": image}]).has_images


def test_a_refusal_is_told_as_one_and_thoughts_are_left_out() -> None:
    request = asked(input=[thought(None), said("assistant", [{"type": "refusal", "refusal": "No."}])])
    assert chat_of(request, []).messages == [{"role": "assistant", "content": None, "refusal": "No."}]


def test_an_id_of_64_characters_is_kept_and_a_longer_one_has_the_same_short_name_everywhere() -> None:
    assert short_call_id("x" * 64) == "x" * 64
    long = "y" * 65
    assistant, tool = messages_of([{**CALL, "call_id": long}, {**OUTPUT, "call_id": long}])
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == short_call_id(long)
    assert len(short_call_id(long)) <= 64
    assert short_call_id(long) != short_call_id(long + "y")


DETAILS = [{"type": "reasoning.encrypted", "data": "AAAA"}]


def thought(text: str | None) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": text}


@pytest.mark.parametrize("model", ["vendor/m", "m", "Vendor/M"])
def test_a_thought_goes_back_to_its_model_with_what_was_said_and_called(model: str) -> None:
    items = [said("user", "q"), thought(wrapped("vendor/m", DETAILS)), said("assistant", "I look."), CALL, OUTPUT]
    _, assistant, _ = chat(model=model, input=items).messages
    assert (assistant["reasoning_details"], assistant["content"]) == (DETAILS, "I look.")
    assert len(assistant["tool_calls"]) == 1


@pytest.mark.parametrize(
    "text", [wrapped("vendor/other", DETAILS), "cm1.%", "cm1.e30=", "gAAAA from another house", None]
)
def test_a_thought_that_is_not_this_model_s_is_left_out(text: str | None) -> None:
    assert chat(model="vendor/m", input=[thought(text), said("user", "q")]).messages == [
        {"role": "user", "content": "q"}
    ]


def test_the_echo_and_what_the_answer_adds_are_all_the_keys_there_are() -> None:
    added = {
        *("id", "object", "created_at", "completed_at", "status", "background", "error", "incomplete_details"),
        *("model", "output", "service_tier", "usage"),
    }
    assert echo(asked()).keys() | added == KEYS
    assert not echo(asked()).keys() & added


def test_a_tool_is_echoed_with_the_keys_that_the_client_left_out() -> None:
    (tool,) = echo(asked(tools=[{"type": "function", "name": "f"}]))["tools"]
    assert tool == {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}


def test_stored_items_have_ids_of_their_own_kind_and_text_as_parts() -> None:
    items = asked(input=[{"role": "user", "content": "q"}, {**CALL, "id": "fc_mine"}, OUTPUT]).items
    first, second, third = stored_items(items, "resp_7")
    assert first == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "q"}],
        "id": "msg_7_in0",
        "status": "completed",
    }
    assert (second["id"], third["id"]) == ("fc_mine", "fco_7_in2")
    assert messages_of([first, second, third]) == messages_of(
        [said("user", [{"type": "input_text", "text": "q"}]), CALL, OUTPUT]
    )


@pytest.mark.parametrize(
    ("message", "param", "told", "named"),
    [
        ("tools[1].function.name repeats", "tools[1].function.name", "tools[1].name repeats", "tools[1].name"),
        ("lower `max_tokens`", None, "lower `max_output_tokens`", None),
        ("messages[3].tool_calls[1].id repeats", "messages[3].tool_calls[1].id", "input repeats", "input"),
        ("does not support `response_format`", "response_format", "does not support `text.format`", "text.format"),
    ],
)
def test_a_fault_is_told_in_the_names_of_this_surface(
    message: str, param: str | None, told: str, named: str | None
) -> None:
    problem = in_our_words(Problem("invalid_value", message, param))
    assert (problem.message, problem.param) == (told, named)


@pytest.mark.parametrize("size", [0, 1, 700, PORTION, 3 * PORTION + 1])
def test_what_is_packed_in_pieces_comes_back_whole(size: int) -> None:
    data = (b'event: response.output_text.delta\ndata: {"n":%d}\n\n' * 2000 % tuple(range(2000)))[:size]
    packer = Packer()
    for at in range(0, size, 100):
        packer.add(data[at : at + 100])
    text = packer.text()
    assert unpack(text) == data
    assert size < PORTION or len(text) < size / 4


def test_a_name_that_repeats_is_told_as_this_surface_has_it() -> None:
    tool = {"type": "function", "name": "f"}
    with pytest.raises(Problem) as caught:
        chat(tools=[tool, tool])
    assert (caught.value.param, "function" in caught.value.message.partition(":")[0]) == ("tools[1].name", False)
