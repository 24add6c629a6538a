"""Good chat requests: what is kept as sent and what the parameters come to when read together."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.chat import check_effort, prompt_text_bytes
from app.core.chat_fields import FRONTIER_FIELDS, KNOWN_FIELDS, SHAPING_FIELDS, TUNING_FIELDS
from app.core.errors import Problem
from tests.core.chat_samples import HI, SCHEMA, call, image, parse, tool


@pytest.mark.parametrize("name", sorted(KNOWN_FIELDS - {"messages"}))
def test_null_is_the_same_as_absent(name: str) -> None:
    request = parse(**{name: None})
    assert getattr(request.fields, name) is None
    assert request.ignored == ()


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": ""},
        {"role": "user", "content": []},
        {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]},
        {"role": "assistant", "tool_calls": [call("a")]},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": None, "reasoning_content": "Hm."},
        {"role": "tool", "content": [{"type": "text", "text": "42"}], "tool_call_id": "a"},
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:,x"}}], "name": "asha"},
        image("https://e/x.png"),
        image("HTTPS://e/x.png"),
        image("data:image/png;base64,AAAA"),
    ],
)
def test_a_good_message_is_kept_just_as_sent(message: dict[str, Any]) -> None:
    assert parse(messages=[message]).messages == [message]


def test_the_same_call_id_in_two_messages_is_fine() -> None:
    turn = {"role": "assistant", "tool_calls": [call("call_0")]}
    assert len(parse(messages=[turn, turn]).messages) == 2


def test_a_bare_request_has_the_documented_defaults() -> None:
    request = parse()
    assert (request.model, request.stream, request.n, request.max_tokens) == (None, False, 1, None)
    assert (request.include_usage, request.has_images, request.wants_logprobs) == (False, False, False)
    assert (request.fallbacks, request.ignored, request.plugins) == ((), (), ())
    assert (request.tools, request.effort, request.provider, request.response_format) == (None, None, None, None)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 9}, 9),
        ({"max_completion_tokens": 9}, 9),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 7),
        ({"max_tokens": None, "max_completion_tokens": 9}, 9),
    ],
)
def test_the_smaller_token_limit_holds(fields: dict[str, Any], limit: int) -> None:
    assert parse(**fields).max_tokens == limit


def test_usage_is_included_only_when_the_stream_asks_for_it() -> None:
    assert parse(stream=True, stream_options={"include_usage": True}).include_usage
    assert not parse(stream=True, stream_options={"include_usage": False}).include_usage


def test_unknown_fields_are_ignored_and_listed_as_sent() -> None:
    request = parse(zeta=1, api_base="http://e", bot_id="b", knowledge_top_k=3, base_url="http://e", temperature=1)
    assert request.ignored == ("zeta", "api_base", "bot_id", "knowledge_top_k", "base_url")


def test_the_list_of_ignored_fields_is_bounded() -> None:
    ignored = parse(**{f"{n:03}" + "x" * 500: 1 for n in range(500)}).ignored
    assert len(ignored) == 50
    assert max(map(len, ignored)) == 64


def test_fallbacks_are_in_order_without_duplicates_and_without_the_model_itself() -> None:
    assert parse(model="a", models=["b", "a", "c", "b"], route="fallback").fallbacks == ("b", "c")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [tool("f")]},
        {"tool_choice": "none"},
        {"response_format": {"type": "json_object"}},
        {"response_format": SCHEMA, "structured_outputs": True},
    ],
)
def test_fallbacks_are_ignored_where_another_model_could_answer_otherwise(fields: dict[str, Any]) -> None:
    request = parse(model="a", models=["b"], **fields)
    assert (request.fallbacks, request.ignored) == ((), ("models",))


def test_structured_outputs_set_strict_and_leave_the_raw_body_alone() -> None:
    request = parse(response_format=SCHEMA, structured_outputs=True)
    assert request.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": {}, "strict": True},
    }
    assert request.raw["response_format"] == SCHEMA


def test_an_image_in_any_message_is_seen() -> None:
    assert parse(messages=[HI, image("https://e/x.png"), HI]).has_images


def test_bare_plugin_names_become_objects_and_options_pass() -> None:
    request = parse(plugins=["web", {"id": "file-parser", "pdf": {"engine": "native"}}])
    assert request.plugins == ({"id": "web"}, {"id": "file-parser", "pdf": {"engine": "native"}})


@pytest.mark.parametrize(
    ("plugins", "paid"),
    [([], False), (["web"], True), ([{"id": "web"}], True), ([{"id": "web", "enabled": False}], False)],
)
def test_a_search_is_paid_for_when_the_web_plugin_is_on(plugins: list[Any], paid: bool) -> None:
    assert parse(plugins=plugins).searches_web is paid


@pytest.mark.parametrize(
    ("fields", "plugins"),
    [
        ({"transforms": ["middle-out"]}, ({"id": "context-compression"},)),
        ({"transforms": []}, ({"id": "context-compression", "enabled": False},)),
        ({"transforms": [], "plugins": ["context-compression"]}, ({"id": "context-compression"},)),
        ({"transforms": ["middle-out"], "plugins": ["web"]}, ({"id": "web"}, {"id": "context-compression"})),
    ],
)
def test_transforms_become_the_compression_plugin_unless_it_is_named(
    fields: dict[str, Any], plugins: tuple[dict[str, Any], ...]
) -> None:
    assert parse(**fields).plugins == plugins


@pytest.mark.parametrize(
    ("price", "renamed"),
    [
        ({"input": 1, "output": 2.5}, {"prompt": 1, "completion": 2.5}),
        ({"prompt": 1, "completion": 2, "image": 3}, {"prompt": 1, "completion": 2, "image": 3}),
        ({"input": 1, "prompt": 2}, {"prompt": 1}),
        ({"output": 0, "input": None}, {"completion": 0}),
    ],
)
def test_the_price_cap_is_in_the_upstreams_words_and_never_loosened(
    price: dict[str, Any], renamed: dict[str, Any]
) -> None:
    request = parse(provider={"sort": "price", "max_price": price})
    assert request.provider == {"sort": "price", "max_price": renamed}
    assert request.raw["provider"]["max_price"] == price


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "high"),
        ({"reasoning_effort": "low", "reasoning": {"max_tokens": 5}}, "low"),
        ({"reasoning": {"max_tokens": 5}}, None),
    ],
)
def test_reasoning_overrides_reasoning_effort(fields: dict[str, Any], effort: str | None) -> None:
    assert parse(**fields).effort == effort


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "xhigh"}, "reasoning_effort"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "xhigh"}}, "reasoning.effort"),
    ],
)
def test_an_effort_outside_the_five_is_refused_on_bare_ids_only(fields: dict[str, Any], param: str) -> None:
    request = parse(**fields)
    check_effort(request, slash=True)
    with pytest.raises(Problem) as caught:
        check_effort(request, slash=False)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


@pytest.mark.parametrize("effort", [None, "none", "minimal", "low", "medium", "high"])
def test_the_five_efforts_and_none_at_all_pass_on_bare_ids(effort: str | None) -> None:
    request = parse(reasoning_effort=effort)
    check_effort(request, slash=False)
    assert request.effort == effort


def test_text_size_counts_texts_calls_and_tools_but_no_image_data() -> None:
    data = image("data:image/png;base64," + "A" * 1_000_000)
    turn = {"role": "assistant", "tool_calls": [call("a")]}
    assert prompt_text_bytes(parse(messages=[HI, data, turn])) == len("hi") + len("?") + len("{}")
    assert prompt_text_bytes(parse(messages=[{"role": "user", "content": "नमस्ते"}])) == len("नमस्ते".encode())
    assert prompt_text_bytes(parse(tools=[tool("f" * 5000)])) > 5000


def test_every_known_field_is_of_one_kind() -> None:
    gateways_own = {"messages", "model", "stream", "stream_options"}
    groups = [FRONTIER_FIELDS, SHAPING_FIELDS, TUNING_FIELDS, gateways_own]
    assert frozenset().union(*groups) == KNOWN_FIELDS
    assert sum(map(len, groups)) == len(KNOWN_FIELDS)


def test_nothing_a_user_wrote_is_in_the_repr() -> None:
    request = parse(messages=[{"role": "user", "content": "my secret"}], user="asha")
    shown = f"{request!r} {request.fields!r} {request.fields.messages!r}"
    assert "secret" not in shown
    assert "asha" not in shown
