"""A Messages request that breaks a rule is a 400 that names the field."""

from __future__ import annotations

import msgspec
import pytest

from app.core.errors import Problem
from app.core.messages import parse_count, parse_messages
from tests.core.messages_samples import PNG, WEATHER, Json, assistant, request, user


def refusal(body: Json) -> tuple[str, str | None]:
    with pytest.raises(Problem) as caught:
        parse_messages(msgspec.json.encode(body))
    assert caught.value.status == 400
    return caught.value.code, caught.value.param


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"max_tokens": 1, "messages": [user("a")]}, "missing_required_parameter", "model"),
        ({"model": "m", "messages": [user("a")]}, "missing_required_parameter", "max_tokens"),
        ({"model": "m", "max_tokens": 1}, "missing_required_parameter", "messages"),
        (request(max_tokens=0), "invalid_value", "max_tokens"),
        (request(temperature=1.5), "invalid_value", "temperature"),
        (request(top_k=501), "invalid_value", "top_k"),
        (request(stop_sequences=["a"] * 17), "invalid_value", "stop_sequences"),
        (request({"role": "tool", "content": "a"}), "invalid_value", "messages[0].role"),
        (request(user({"type": "search_result"})), "invalid_value", "messages[0].content[0].type"),
        (
            request(user({"type": "image", "source": {"type": "file", "file_id": "f"}})),
            "invalid_value",
            "messages[0].content[0].source.type",
        ),
        (
            request(user({"type": "image", "source": {"type": "url", "url": "http://x"}})),
            "invalid_value",
            "messages[0].content[0].source.url",
        ),
        (
            request(user({"type": "document", "source": {"type": "base64", "data": "JVBE"}})),
            "invalid_value",
            "messages[0].content[0].source.type",
        ),
        (request(assistant(PNG)), "invalid_request_error", "messages[0].content[0].type"),
        (
            request(user({"type": "tool_use", "id": "a", "name": "b", "input": {}})),
            "invalid_request_error",
            "messages[0].content[0].type",
        ),
        (
            request(assistant(*[{"type": "tool_use", "id": "a", "name": "b", "input": {}}] * 2)),
            "invalid_value",
            "messages[0].content[1].id",
        ),
        (request(tools=[{"type": "web_search_20250305", "name": "w"}]), "unsupported_tool_type", "tools[0].type"),
        (request(tools=[{"name": "w"}]), "missing_required_parameter", "tools[0].input_schema"),
        (request(tools=[WEATHER, WEATHER]), "invalid_value", "tools[1].name"),
        (request(tool_choice={"type": "any"}), "invalid_request_error", "tool_choice"),
        (
            request(tools=[WEATHER], tool_choice={"type": "tool", "name": "x"}),
            "invalid_request_error",
            "tool_choice.name",
        ),
        (
            request(thinking={"type": "enabled", "budget_tokens": 100}),
            "invalid_request_error",
            "thinking.budget_tokens",
        ),
        (request(output_config={"effort": "huge"}), "invalid_value", "output_config.effort"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(body: Json, code: str, param: str) -> None:
    assert refusal(body) == (code, param)


def test_counting_needs_no_limit_and_checks_the_same_blocks() -> None:
    fields, size = parse_count(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    assert (fields.model, size) == ("m", 57)
    with pytest.raises(Problem, match="tool_use"):
        parse_count(b'{"model":"m","messages":[{"role":"user","content":[{"type":"x"}]}]}')
