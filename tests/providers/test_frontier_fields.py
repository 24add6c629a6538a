"""Fields of a request that only the aggregator of frontier models knows, as it spells them."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import Problem
from app.providers.dialect import ChatAsk
from app.providers.openrouter import OpenRouter
from tests.providers.chat_requests import HELLO, body_of


def frontier(model: str = "m", effort: str | None = None, **fields: Any) -> dict[str, Any]:
    return body_of(OpenRouter("k"), ChatAsk(model, {"messages": HELLO, **fields}, "salt", effort=effort))


def test_the_price_limit_is_spelt_as_the_upstream_does() -> None:
    body = frontier(provider={"max_price": {"input": 1, "completion": 2}, "zdr": True, "host": "evil.example"})
    assert body["provider"] == {"max_price": {"prompt": 1, "completion": 2}, "zdr": True}


def test_a_suffix_sorts_the_providers_unless_the_client_sorts_them() -> None:
    question = ChatAsk("m", {"messages": HELLO}, "salt", sort="throughput")
    sorted_by_client = ChatAsk("m", {"messages": HELLO, "provider": {"sort": "latency"}}, "salt", sort="throughput")
    assert body_of(OpenRouter("k"), question)["provider"] == {"sort": "throughput"}
    assert body_of(OpenRouter("k"), sorted_by_client)["provider"] == {"sort": "latency"}


def test_plugins_go_out_as_objects_with_their_options() -> None:
    body = frontier(plugins=["web", {"id": "file-parser", "pdf": {"engine": "native"}}])
    assert body["plugins"] == [{"id": "web"}, {"id": "file-parser", "pdf": {"engine": "native"}}]


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [
        (["middle-out"], [{"id": "context-compression"}]),
        ([], [{"id": "context-compression", "enabled": False}]),
    ],
)
def test_transforms_are_the_compression_plugin(transforms: list[str], expected: list[dict[str, Any]]) -> None:
    assert frontier(transforms=transforms)["plugins"] == expected
    assert frontier(transforms=transforms, plugins=["context-compression"])["plugins"] == [
        {"id": "context-compression"}
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("plugins", ["shell"]),
        ("plugins", "web"),
        ("transforms", ["other"]),
        ("provider", "fast"),
        ("reasoning", "high"),
    ],
)
def test_a_frontier_field_of_the_wrong_kind_is_the_clients_mistake(field: str, value: Any) -> None:
    with pytest.raises(Problem) as caught:
        frontier(**{field: value})
    assert (caught.value.status, caught.value.param) == (400, field)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("anthropic/claude-opus-4.6", {"max_tokens": 500, "exclude": True}),
        ("google/gemini-3.5-flash", {"max_tokens": 500, "exclude": True}),
        ("qwen/qwen3.5-plus-02-15", {"max_tokens": 500, "exclude": True}),
        ("openai/gpt-5.4", {"effort": "high", "exclude": True}),
    ],
)
def test_of_effort_and_budget_only_one_is_sent(model: str, expected: dict[str, Any]) -> None:
    body = frontier(model, "high", reasoning={"effort": "high", "max_tokens": 500, "exclude": True})
    assert body["reasoning"] == expected
    assert "reasoning_effort" not in body


def test_a_budget_alone_overrides_the_effort_field() -> None:
    body = frontier("openai/gpt-5.4", "high", reasoning={"max_tokens": 500}, reasoning_effort="high")
    assert body["reasoning"] == {"max_tokens": 500}
    assert "reasoning_effort" not in body


def test_an_effort_alone_goes_out_under_its_own_name() -> None:
    body = frontier("openai/gpt-5.4", "xhigh", reasoning_effort="xhigh")
    assert body["reasoning_effort"] == "xhigh"
    assert "reasoning" not in body
