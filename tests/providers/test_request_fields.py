"""Every request parameter on every dialect: sent, renamed, left out and named, or refused (compat.md C16)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from app.core.errors import Problem
from app.providers.cloudflare import Cloudflare
from app.providers.dialect import ChatAsk, Dialect
from app.providers.openai_compatible import OpenAICompatible
from app.providers.openrouter import OpenRouter
from app.providers.sarvam import Sarvam

DIALECTS: Final[dict[str, Dialect]] = {
    "openrouter": OpenRouter("key-o"),
    "cloudflare": Cloudflare("key-c"),
    "sarvam": Sarvam("key-s"),
    "generic": OpenAICompatible("fast", api_key="key-g"),
    "ollama": OpenAICompatible("local", "ollama"),
    "vllm": OpenAICompatible("local", "vllm"),
    "llamacpp": OpenAICompatible("local", "llamacpp"),
}
TOOL: Final = {"type": "function", "function": {"name": "look", "parameters": {}}}
SCHEMA: Final = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
STRICT: Final = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}

#: parameter -> (client's value, fate by dialect in the order of DIALECTS): = sent, d dropped and named, x refused,
#: h hashed, r renamed, - carried out by the gateway itself.
FATES: Final[dict[str, tuple[Any, str]]] = {
    "temperature": (0.5, "======="),
    "top_p": (0.9, "======="),
    "top_k": (40, "=dddd=="),
    "frequency_penalty": (1.0, "======="),
    "presence_penalty": (-1.0, "======="),
    "repetition_penalty": (1.1, "=dddd=r"),
    "seed": (0, "======="),
    "stop": (["END"], "======="),
    "n": (2, "====x=x"),
    "logit_bias": ({"1": -100}, "==d=d=="),
    "logprobs": (True, "==d=d=="),
    "top_logprobs": (3, "==d=d=="),
    "tools": ([TOOL], "======="),
    "tool_choice": ("required", "====x=="),
    "parallel_tool_calls": (False, "==d=dd="),
    "response_format": (SCHEMA, "======="),
    "user": ("ann@example.com", "hddhddd"),
    "prompt_cache_key": ("chat-7", "hddhddd"),
    "stream_options": ({"include_usage": False}, "--d----"),
    "provider": ({"only": ["a"]}, "=dddddd"),
    "plugins": ([{"id": "web"}], "=dddddd"),
    "transforms": (["middle-out"], "rdddddd"),
    "top_a": (0.1, "=dddddd"),
    "min_p": (0.1, "=dddd=="),
    "prediction": ({"type": "content", "content": "x"}, "==d=ddd"),
}
RENAMED: Final = {
    "repetition_penalty": ("repeat_penalty", 1.1),
    "transforms": ("plugins", [{"id": "context-compression"}]),
}
ROWS: Final = [
    (name, field, fate) for field, (_, fates) in FATES.items() for name, fate in zip(DIALECTS, fates, strict=True)
]


def ask(**fields: Any) -> ChatAsk:
    messages = [{"role": "user", "content": "Hello"}]
    return ChatAsk(upstream_model="m", raw={"messages": messages, **fields}, tenant_salt="salt")


def sent(name: str, question: ChatAsk) -> tuple[dict[str, Any], tuple[str, ...]]:
    outgoing = DIALECTS[name].chat(question)
    body: dict[str, Any] = msgspec.json.decode(outgoing.body)
    return body, outgoing.dropped


@pytest.mark.parametrize(("name", "field", "fate"), [row for row in ROWS if row[2] == "="])
def test_a_field_the_upstream_takes_arrives_unchanged(name: str, field: str, fate: str) -> None:
    value = FATES[field][0]
    body, dropped = sent(name, ask(**{field: value}))
    assert body[field] == value
    assert dropped == ()


@pytest.mark.parametrize(("name", "field", "fate"), [row for row in ROWS if row[2] == "d"])
def test_a_tuning_field_the_upstream_lacks_is_left_out_and_named(name: str, field: str, fate: str) -> None:
    body, dropped = sent(name, ask(**{field: FATES[field][0]}))
    assert field not in body
    assert dropped == (field,)


@pytest.mark.parametrize(("name", "field", "fate"), [row for row in ROWS if row[2] == "x"])
def test_a_shaping_field_the_upstream_lacks_is_refused_by_name(name: str, field: str, fate: str) -> None:
    with pytest.raises(Problem) as caught:
        DIALECTS[name].chat(ask(**{field: FATES[field][0]}))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", field)


@pytest.mark.parametrize(("name", "field", "fate"), [row for row in ROWS if row[2] == "h"])
def test_a_name_of_the_clients_own_leaves_as_a_hash_that_no_other_tenant_shares(
    name: str, field: str, fate: str
) -> None:
    question = ask(**{field: FATES[field][0]})
    stranger = ChatAsk("m", question.raw, tenant_salt="other")
    mine, again, other = (sent(name, each)[0][field] for each in (question, question, stranger))
    assert mine == again != other
    assert FATES[field][0] not in mine


@pytest.mark.parametrize(("name", "field", "fate"), [row for row in ROWS if row[2] == "r"])
def test_a_field_goes_out_under_the_upstreams_name_for_it(name: str, field: str, fate: str) -> None:
    body, dropped = sent(name, ask(**{field: FATES[field][0]}))
    theirs, value = RENAMED[field]
    assert body[theirs] == value
    assert field not in body
    assert dropped == ()


@pytest.mark.parametrize("name", DIALECTS)
def test_the_upstream_is_always_streamed_and_asked_for_usage_where_it_takes_the_question(name: str) -> None:
    body, dropped = sent(name, ask(stream=False))
    assert body["stream"] is True
    assert body.get("stream_options") == (None if name == "sarvam" else {"include_usage": True})
    assert dropped == ()


@pytest.mark.parametrize("name", DIALECTS)
def test_the_token_limit_and_the_effort_are_the_asks_and_not_the_clients(name: str) -> None:
    raw = ask(max_tokens=9, max_completion_tokens=8, reasoning_effort="minimal").raw
    body, _ = sent(name, ChatAsk("m", raw, "salt", effort="low", max_tokens=7))
    assert (body["max_tokens"], body["reasoning_effort"]) == (7, "low")
    assert "max_completion_tokens" not in body


@pytest.mark.parametrize("name", DIALECTS)
def test_what_the_gateway_does_itself_is_not_sent_and_nothing_unknown_is(name: str) -> None:
    raw = {
        "models": ["a", "b"],
        "route": "fallback",
        "bot_id": "b",
        "knowledge_top_k": 3,
        "base_url": "http://10.0.0.1",
    }
    body, dropped = sent(name, ask(**raw))
    assert raw.keys().isdisjoint(body)
    assert "10.0.0.1" not in DIALECTS[name].chat(ask(**raw)).path
    assert dropped == ()


@pytest.mark.parametrize("name", DIALECTS)
def test_a_null_is_a_field_that_was_not_sent(name: str) -> None:
    body, dropped = sent(name, ask(**dict.fromkeys(FATES)))
    assert body.keys() - {"stream_options"} == {"model", "messages", "stream"} | ({"options"} & body.keys())
    assert dropped == ()


@pytest.mark.parametrize("name", DIALECTS)
def test_the_clients_body_is_never_changed(name: str) -> None:
    reply = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    raw = {name: value for name, (value, _) in FATES.items() if name not in ("n", "tool_choice")}
    raw |= {"messages": [{"role": "developer", "content": "x"}, reply], "structured_outputs": True}
    before = msgspec.json.encode(raw)
    DIALECTS[name].chat(ChatAsk("m", raw, "salt", effort="high", sort="price"))
    assert msgspec.json.encode(raw) == before


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "sarvam"])
def test_structured_outputs_becomes_strict_on_the_schema(name: str) -> None:
    body, _ = sent(name, ask(structured_outputs=True, response_format=SCHEMA))
    assert body["response_format"] == STRICT
    assert "structured_outputs" not in body


def test_structured_outputs_is_dropped_where_the_wire_document_says_so() -> None:
    body, dropped = sent("sarvam", ask(structured_outputs=True, response_format=SCHEMA))
    assert body["response_format"] == SCHEMA
    assert dropped == ("structured_outputs",)


def test_a_tool_choice_that_changes_nothing_is_left_out_where_it_is_unknown() -> None:
    body, dropped = sent("ollama", ask(tools=[TOOL], tool_choice="auto"))
    assert body["tools"] == [TOOL]
    assert "tool_choice" not in body
    assert dropped == ("tool_choice",)


def test_no_tools_are_offered_where_tool_choice_none_cannot_be_said() -> None:
    body, _ = sent("ollama", ask(tools=[TOOL], tool_choice="none"))
    assert body.keys().isdisjoint({"tools", "tool_choice"})


def test_one_choice_is_no_refusal_where_n_is_unknown() -> None:
    body, dropped = sent("llamacpp", ask(n=1))
    assert "n" not in body
    assert dropped == ("n",)


@pytest.mark.parametrize("name", ["cloudflare", "generic"])
def test_a_routes_own_list_of_fields_replaces_the_dialects(name: str) -> None:
    options = {"supports": ["temperature"]}
    question = ChatAsk(
        "m", ask(temperature=1, seed=3, reasoning_effort="low").raw, "salt", effort="low", options=options
    )
    body, dropped = sent(name, question)
    assert body["temperature"] == 1
    assert dropped == ("seed", "reasoning_effort")


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "openrouter"])
def test_the_parts_of_reasoning_a_bare_id_lacks_are_named(name: str) -> None:
    raw = ask(reasoning={"effort": "high", "max_tokens": 100}).raw
    body, dropped = sent(name, ChatAsk("m", raw, "salt", effort="high"))
    assert body["reasoning_effort"] == "high"
    assert "reasoning" not in body
    assert dropped == ("reasoning.max_tokens",)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "openrouter"])
def test_an_effort_the_catalog_removed_is_named(name: str) -> None:
    body, dropped = sent(name, ask(reasoning_effort="high"))
    assert "reasoning_effort" not in body
    assert dropped == ("reasoning_effort",)
