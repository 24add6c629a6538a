"""Bad chat requests: each parameter's bounds and each rule between fields, refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.chat import parse_chat
from app.core.chat_fields import KNOWN_FIELDS
from app.core.errors import Problem
from tests.core.chat_samples import HI, SCHEMA, call, image, parse, tool

INVALID, MISSING = "invalid_request_error", "missing_required_parameter"
WRONG, VALUE = "invalid_type", "invalid_value"


def refusal(**fields: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        parse(**fields)
    assert caught.value.status == 400
    return caught.value


#: One row per parameter: values at its bounds, values out of them, values of another kind.
BOUNDS: list[tuple[str, list[Any], list[Any], list[Any]]] = [
    ("model", ["m"], [""], [1, ["m"]]),
    ("messages", [[HI], [HI] * 2000], [[], [HI] * 2001], ["hi", {}, None]),
    ("stream", [True, False], [], ["true", 1]),
    ("temperature", [0, 2, 0.7], [-0.1, 2.1], ["1", True, [1]]),
    ("max_tokens", [1, 1_048_576], [0, -1, 1_048_577], ["9", 1.5, True]),
    ("max_completion_tokens", [1, 1_048_576], [0, 1_048_577], ["9", 1.5]),
    ("n", [1, 5], [0, 6], ["1", 1.5]),
    ("top_p", [0, 1], [-0.01, 1.01], ["1"]),
    ("top_k", [1, 200], [0, 201], [1.5, "1"]),
    ("frequency_penalty", [-2, 2], [-2.01, 2.01], ["0"]),
    ("presence_penalty", [-2, 2], [-2.01, 2.01], ["0"]),
    ("repetition_penalty", [0, 2], [-0.01, 2.01], ["0"]),
    ("seed", [0, 2**63 - 1], [-1, 2**63, 2**70], [0.5, "1"]),
    ("stop", ["a", [], ["a"] * 16], [["a"] * 17], [1, {}]),
    (
        "logit_bias",
        [{}, {"1": -100, "2": 100}, {str(n): 0 for n in range(1024)}],
        [{"1": -101}, {"1": 100.5}, {str(n): 0 for n in range(1025)}],
        [[], {"1": "0"}],
    ),
    ("logprobs", [True, False], [], [1, "yes"]),
    ("top_logprobs", [], [-1, 21], ["1", 1.5]),
    ("tools", [[], [tool(f"f{n}") for n in range(128)]], [[tool(f"f{n}") for n in range(129)]], [{}, "f"]),
    ("tool_choice", ["auto", "none"], ["any"], [1, []]),
    ("parallel_tool_calls", [True, False], [], ["no"]),
    ("response_format", [{"type": "text"}, {"type": "json_object"}, SCHEMA], [], ["json", []]),
    ("structured_outputs", [False], [], [1]),
    ("reasoning_effort", ["low", "xhigh"], [""], [1]),
    ("user", ["", "u" * 256], ["u" * 257], [1]),
    ("prompt_cache_key", ["", "k" * 1024], ["k" * 1025], [1]),
    ("provider", [{}, {"sort": "price", "order": ["a"], "zdr": True}], [], ["openai", []]),
    ("models", [[], ["m"] * 32], [["m"] * 33], ["m", {}]),
    ("route", ["fallback"], ["sort"], [1]),
    ("plugins", [[], ["web"], [{"id": "file-parser", "pdf": {}}]], [], ["web", {}]),
    ("reasoning", [{}, {"effort": "high", "max_tokens": 1}], [], ["high", []]),
    ("transforms", [[], ["middle-out"]], [], ["middle-out", {}]),
]


def rows(kind: int) -> list[Any]:
    return [pytest.param(row[0], value, id=f"{row[0]}-{at}") for row in BOUNDS for at, value in enumerate(row[kind])]


def test_every_parameter_has_a_row_of_bounds() -> None:
    assert {row[0] for row in BOUNDS} | {"stream_options"} == KNOWN_FIELDS


@pytest.mark.parametrize(("name", "value"), rows(1))
def test_a_value_at_its_bound_is_accepted(name: str, value: Any) -> None:
    assert parse(**{name: value}).raw[name] == value


@pytest.mark.parametrize(("name", "value"), rows(2))
def test_a_value_out_of_its_bounds_is_refused_by_name(name: str, value: Any) -> None:
    problem = refusal(**{name: value})
    assert (problem.code, problem.param) == (VALUE, name)
    assert name in problem.message


@pytest.mark.parametrize(("name", "value"), rows(3))
def test_a_value_of_another_kind_is_refused_by_name(name: str, value: Any) -> None:
    problem = refusal(**{name: value})
    assert (problem.code, problem.param) == (WRONG, name)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"stream_options": {"include_usage": True}}, INVALID, "stream_options"),
        ({"stream": False, "stream_options": {}}, INVALID, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, WRONG, "stream_options.include_usage"),
        ({"top_logprobs": 3}, INVALID, "top_logprobs"),
        ({"logprobs": False, "top_logprobs": 0}, INVALID, "top_logprobs"),
        ({"structured_outputs": True}, INVALID, "structured_outputs"),
        ({"structured_outputs": True, "response_format": {"type": "json_object"}}, INVALID, "structured_outputs"),
        ({"response_format": {}}, MISSING, "response_format.type"),
        ({"response_format": {"type": "xml"}}, VALUE, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, MISSING, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": []}}, WRONG, "response_format.json_schema"),
        ({"tools": [{"type": "web_search"}]}, VALUE, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, MISSING, "tools[0].function"),
        ({"tools": [tool("f"), {"type": "function", "function": {}}]}, MISSING, "tools[1].function.name"),
        ({"tools": [tool("")]}, VALUE, "tools[0].function.name"),
        ({"tools": [tool("f"), tool("g"), tool("f")]}, VALUE, "tools[2].function.name"),
        ({"tool_choice": "required"}, INVALID, "tool_choice"),
        ({"tools": [tool("f")], "tool_choice": tool("g")}, INVALID, "tool_choice.function.name"),
        ({"tools": [tool("f")], "tool_choice": {"type": "function"}}, MISSING, "tool_choice.function"),
        ({"stop": ["a", 1]}, WRONG, "stop[1]"),
        ({"plugins": ["pdf"]}, VALUE, "plugins[0]"),
        ({"plugins": ["web", {"id": "pdf"}]}, VALUE, "plugins[1].id"),
        ({"plugins": [{}]}, MISSING, "plugins[0].id"),
        ({"transforms": ["middle-in"]}, VALUE, "transforms[0]"),
        ({"models": ["m", ""]}, VALUE, "models[1]"),
        ({"provider": {"sort": "best"}}, VALUE, "provider.sort"),
        ({"provider": {"max_price": {"input": -1}}}, VALUE, "provider.max_price.input"),
        ({"provider": {"only": "openai"}}, WRONG, "provider.only"),
        ({"reasoning": {"max_tokens": 0}}, VALUE, "reasoning.max_tokens"),
    ],
)
def test_a_broken_rule_between_fields_names_the_field_to_change(fields: dict[str, Any], code: str, param: str) -> None:
    problem = refusal(**fields)
    assert (problem.code, problem.param) == (code, param)
    assert problem.message.startswith(param)


@pytest.mark.parametrize(
    ("message", "code", "at"),
    [
        ("hi", WRONG, ""),
        ({"content": "hi"}, MISSING, ".role"),
        ({"role": "function", "content": "hi"}, VALUE, ".role"),
        ({"role": "user"}, MISSING, ".content"),
        ({"role": "user", "content": None}, WRONG, ".content"),
        ({"role": "system", "content": 5}, WRONG, ".content"),
        ({"role": "assistant", "content": None}, WRONG, ".content"),
        ({"role": "assistant", "content": None, "tool_calls": []}, WRONG, ".content"),
        ({"role": "tool", "content": None, "tool_call_id": "c"}, WRONG, ".content"),
        ({"role": "tool", "content": "42"}, MISSING, ".tool_call_id"),
        ({"role": "tool", "content": "42", "tool_call_id": ""}, MISSING, ".tool_call_id"),
        ({"role": "user", "content": ["hi"]}, WRONG, ".content[0]"),
        ({"role": "user", "content": [{"text": "hi"}]}, MISSING, ".content[0].type"),
        ({"role": "user", "content": [{"type": "txt", "text": "hi"}]}, VALUE, ".content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, MISSING, ".content[0].text"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": "https://e"}]},
            WRONG,
            ".content[0].image_url",
        ),
        (image("http://e/x.png"), VALUE, ".content[1].image_url.url"),
        (image("file:///etc/passwd"), VALUE, ".content[1].image_url.url"),
        (image(""), VALUE, ".content[1].image_url.url"),
        ({"role": "assistant", "tool_calls": [call("a"), call("b"), call("a")]}, VALUE, ".tool_calls[2].id"),
        ({"role": "assistant", "tool_calls": [call("")]}, VALUE, ".tool_calls[0].id"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, MISSING, ".tool_calls[0].function"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]},
            WRONG,
            ".tool_calls[0].function.arguments",
        ),
    ],
)
def test_a_wrong_message_is_named_by_its_index_and_field(message: Any, code: str, at: str) -> None:
    problem = refusal(messages=[HI, message])
    assert (problem.code, problem.param) == (code, "messages[1]" + at)


def test_a_body_without_messages_says_what_to_send() -> None:
    with pytest.raises(Problem) as caught:
        parse_chat(b"{}")
    assert (caught.value.code, caught.value.param) == (MISSING, "messages")
    assert caught.value.message == "messages is required: send an array of 1 to 2000 objects."


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages":NaN}', b'{"messages":"\\ud800"}', b"\xff"])
def test_a_body_that_is_no_json_object_is_a_problem(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_chat(body)
    assert caught.value.code == INVALID
