"""A Messages request becomes the chat request that asks for the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.chat import read_chat
from app.core.messages import chat_request, parse_messages
from app.core.messages_content import Asked
from tests.core.messages_samples import PNG, WEATHER, Json, assistant, request, text, user

BARE = Asked("kimi-k2.6", frontier=False)
CLAUDE = Asked("anthropic/claude-sonnet-4.6", frontier=True)
GPT = Asked("openai/gpt-5.4-mini", frontier=True)
INLINE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def chat(body: Json, model: Asked = BARE) -> Json:
    return chat_request(parse_messages(msgspec.json.encode(body)), model).raw


def messages(*turns: Json, model: Asked = BARE, **fields: Any) -> list[Json]:
    converted: list[Json] = chat(request(*turns, **fields), model)["messages"]
    return converted


def test_the_smallest_request_is_one_user_message() -> None:
    assert chat(request()) == {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def test_every_tuning_field_has_its_name_in_chat() -> None:
    raw = chat(
        request(
            **{"temperature": 1, "top_p": 0.5, "top_k": 500, "stop_sequences": ["a", "b"], "stream": True},
            metadata={"user_id": "u"},
        )
    )
    wanted = {"temperature": 1, "top_p": 0.5, "top_k": 500, "stop": ["a", "b"], "stream": True, "user": "u"}
    assert {name: raw[name] for name in wanted} == wanted


@pytest.mark.parametrize("system", ["Be brief.\nBe kind.", [text("Be brief."), text("Be kind.", cache_control={})]])
def test_the_system_prompt_leads_as_text_or_blocks(system: Any) -> None:
    assert messages(system=system)[0] == {"role": "system", "content": "Be brief.\nBe kind."}


def test_a_system_turn_stays_where_it_stands() -> None:
    turns = messages(user("a"), {"role": "system", "content": [text("b")]}, user("c"))
    assert [turn["role"] for turn in turns] == ["user", "system", "user"]


def test_text_and_images_of_a_user_are_parts_in_their_order() -> None:
    (turn,) = messages(user(text("What"), PNG, {"type": "image", "source": {"type": "url", "url": "https://x/y"}}))
    assert turn["content"] == [
        {"type": "text", "text": "What"},
        INLINE,
        {"type": "image_url", "image_url": {"url": "https://x/y"}},
    ]


def test_a_document_is_text_with_its_title() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Once."}
    (turn,) = messages(user({"type": "document", "source": source, "title": "Tale"}))
    assert turn["content"] == "<document>\n<title>Tale</title>\nOnce.\n</document>"


def test_tool_results_come_first_and_their_images_travel_with_the_words() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("blue"), PNG, text("bright")]}
    said, answered, asked = messages(assistant(text("Let me."), call), user(text("And?"), result))
    function = {"name": "look", "arguments": '{"at":"sky"}'}
    assert said == {
        **{"role": "assistant", "content": "Let me."},
        "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
    }
    assert answered == {"role": "tool", "tool_call_id": "toolu_1", "content": "blue\nbright"}
    assert asked["content"][1:] == [INLINE, {"type": "text", "text": "And?"}]
    assert "toolu_1" in asked["content"][0]["text"]


@pytest.mark.parametrize(
    ("content", "is_error", "wanted"),
    [("12", None, "12"), (None, None, ""), ("no such city", True, "Error: no such city"), ([], False, "")],
)
def test_a_tool_result_is_a_message_of_its_own(content: Any, is_error: bool | None, wanted: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": is_error}
    assert messages(user(result)) == [{"role": "tool", "tool_call_id": "t", "content": wanted}]


def test_a_call_without_words_has_no_content() -> None:
    (turn,) = messages(assistant({"type": "tool_use", "id": "t", "name": "now", "input": {}}))
    assert turn["content"] is None


@pytest.mark.parametrize(
    ("block", "images"),
    [
        (PNG, True),
        ({"type": "tool_result", "tool_use_id": "t", "content": [PNG]}, True),
        ({"type": "tool_result", "tool_use_id": "t", "content": "PNG"}, False),
        (text("image"), False),
    ],
)
def test_images_are_seen_inside_tool_results_too(block: Json, images: bool) -> None:
    asked = parse_messages(msgspec.json.encode(request(user(block))))
    assert chat_request(asked, BARE).has_images is images


SIGNED = {"type": "thinking", "thinking": "Hm.\u2028", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "ZW5j"}
DETAILS = [
    {"type": "reasoning.text", "text": "Hm.\u2028", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "ZW5j", "format": "anthropic-claude-v1", "index": 1},
]


def own(model: str) -> Json:
    return {"type": "thinking", "thinking": "Hm.", "signature": f"cm:{model}"}


@pytest.mark.parametrize(
    ("model", "blocks", "kept"),
    [
        (CLAUDE, [SIGNED, REDACTED], {"reasoning_details": DETAILS}),
        (CLAUDE, [own(CLAUDE.id), {**SIGNED, "signature": ""}], {}),
        (BARE, [SIGNED, REDACTED, own("glm-5.2")], {}),
        (BARE, [SIGNED, own("kimi-k2.6")], {"reasoning_content": "Hm."}),
        (GPT, [SIGNED, own("openai/gpt-5.4-mini")], {"reasoning": "Hm."}),
    ],
)
def test_thinking_goes_back_to_its_maker_unchanged_and_to_nobody_else(
    model: Asked, blocks: list[Json], kept: Json
) -> None:
    (turn,) = messages(assistant(*blocks, text("Hi")), model=model)
    assert turn == {"role": "assistant", "content": "Hi", **kept}


def test_tools_are_functions() -> None:
    raw = chat(request(tools=[{**WEATHER, "cache_control": {"type": "ephemeral"}, "strict": True}]))
    function = {"name": "get_weather", "description": "Now", "parameters": WEATHER["input_schema"], "strict": True}
    assert raw["tools"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"tool_choice": "required", "parallel_tool_calls": False}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": False},
            {
                "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
                "parallel_tool_calls": True,
            },
        ),
    ],
)
def test_each_tool_choice_has_its_form_in_chat(choice: Json, wanted: Json) -> None:
    raw = chat(request(tools=[WEATHER], tool_choice=choice))
    assert {name: raw.get(name) for name in ("tool_choice", "parallel_tool_calls") if name in raw} == wanted


ON = {"type": "enabled", "budget_tokens": 50}


@pytest.mark.parametrize(
    ("model", "fields", "wanted"),
    [
        (BARE, {}, {}),
        (BARE, {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, {"reasoning_effort": "none"}),
        (BARE, {"thinking": {"type": "adaptive"}}, {"reasoning_effort": "high"}),
        (BARE, {"thinking": ON}, {"reasoning": {"effort": "low", "max_tokens": 50}}),
        (GPT, {"thinking": ON, "output_config": {"effort": "max"}}, {"reasoning": {"effort": "max", "max_tokens": 50}}),
        (BARE, {"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "high"}),
        (GPT, {"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        (BARE, {"output_config": {"effort": "medium"}}, {"reasoning_effort": "medium"}),
    ],
)
def test_thinking_is_effort_and_where_it_can_be_said_a_budget(model: Asked, fields: Json, wanted: Json) -> None:
    asked = parse_messages(msgspec.json.encode(request(**fields)))
    made = chat_request(asked, model)
    assert {name: made.raw[name] for name in ("reasoning", "reasoning_effort") if name in made.raw} == wanted
    assert made.effort == (wanted.get("reasoning_effort") or wanted.get("reasoning", {}).get("effort"))
    assert asked.thinks is (fields.get("thinking", {}).get("type") in {"adaptive", "enabled"})


def test_an_output_format_is_a_strict_schema() -> None:
    raw = chat(request(output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}}))
    assert raw["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert raw["response_format"]["json_schema"]["strict"] is True


def test_unknown_fields_are_named_for_the_receipt() -> None:
    asked = parse_messages(msgspec.json.encode(request(service_tier="auto", container="x")))
    assert chat_request(asked, BARE).ignored == ("service_tier", "container")


TEXTS = st.text(max_size=5)
TEXT_BLOCKS = st.builds(text, TEXTS)
CALLS = st.lists(st.sampled_from("abc"), unique=True, max_size=2).map(
    lambda ids: [{"type": "tool_use", "id": each, "name": "now", "input": {"a": each}} for each in ids]
)
RESULTS = st.builds(
    lambda content, wrong: {"type": "tool_result", "tool_use_id": "a", "content": content, "is_error": wrong},
    st.none() | TEXTS | st.lists(TEXT_BLOCKS | st.just(PNG), max_size=2),
    st.booleans(),
)
THINKING = st.sampled_from([SIGNED, REDACTED, own("kimi-k2.6"), own(GPT.id)])
USERS = st.builds(
    lambda content: {"role": "user", "content": content},
    TEXTS | st.lists(TEXT_BLOCKS | RESULTS | st.just(PNG), max_size=3),
)
ASSISTANTS = st.builds(
    lambda thoughts, texts, calls: assistant(*thoughts, *texts, *calls),
    st.lists(THINKING, max_size=2),
    st.lists(TEXT_BLOCKS, max_size=2),
    CALLS,
)


@given(
    st.lists(USERS | ASSISTANTS, min_size=1, max_size=4),
    st.sampled_from([BARE, CLAUDE, GPT]),
    st.fixed_dictionaries(
        {},
        optional={
            "system": TEXTS | st.lists(TEXT_BLOCKS, max_size=2),
            "thinking": st.sampled_from([ON, {"type": "adaptive"}, {"type": "disabled"}]),
            "stop_sequences": st.lists(st.sampled_from("ab"), max_size=2),
            "tools": st.just([WEATHER]),
            "stream": st.booleans(),
        },
    ),
)
def test_what_is_made_of_any_request_is_a_chat_request_that_chat_reads_the_same(
    turns: list[Json], model: Asked, fields: Json
) -> None:
    made = chat_request(parse_messages(msgspec.json.encode(request(*turns, **fields))), model)
    read = read_chat(made.raw)
    assert (read.stream, read.n, read.max_tokens, read.effort, read.has_images, read.model) == (
        *(made.stream, made.n, made.max_tokens, made.effort, made.has_images, made.model),
    )
    assert read.ignored == ()
