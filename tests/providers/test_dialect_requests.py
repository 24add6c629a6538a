"""What is particular to one dialect's request: headers, paths, messages, frontier fields, capacity."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Problem
from app.providers.cloudflare import Cloudflare
from app.providers.dialect import ChatAsk, Dialect
from app.providers.openai_compatible import FlavourName, NullContent, OpenAICompatible, plain_message
from app.providers.openrouter import OpenRouter
from app.providers.sarvam import Sarvam

HELLO: Final = [{"role": "user", "content": "Hello"}]
CALL: Final = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PICTURE: Final = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
LINK: Final = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
QUESTION: Final = {"type": "text", "text": "What is it?"}


def ask(messages: list[Any] | None = None, model: str = "m", **fields: Any) -> ChatAsk:
    return ChatAsk(model, {"messages": messages or HELLO, **fields}, "salt")


def body_of(dialect: Dialect, question: ChatAsk) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(dialect.chat(question).body)
    return body


def headers_of(dialect: Dialect, question: ChatAsk) -> dict[bytes, bytes]:
    return dict(dialect.chat(question).headers)


# Credentials and paths.


@pytest.mark.parametrize(
    ("dialect", "path", "header", "value"),
    [
        (OpenRouter("k1"), "/chat/completions", b"authorization", b"Bearer k1"),
        (Cloudflare("k2"), "/v1/chat/completions", b"authorization", b"Bearer k2"),
        (Sarvam("k3"), "/v1/chat/completions", b"api-subscription-key", b"k3"),
        (OpenAICompatible("fast", api_key="k4"), "/chat/completions", b"authorization", b"Bearer k4"),
    ],
)
def test_each_dialect_has_its_path_and_one_credential(dialect: Dialect, path: str, header: bytes, value: bytes) -> None:
    outgoing = dialect.chat(ask())
    assert outgoing.path == path
    assert dict(outgoing.headers)[header] == value
    assert sum(value.split()[-1] in each for _, each in outgoing.headers) == 1


def test_a_local_server_without_a_key_gets_no_credential() -> None:
    assert b"authorization" not in headers_of(OpenAICompatible("local", "ollama"), ask())


def test_streams_are_asked_for_uncompressed() -> None:
    assert headers_of(Sarvam("k"), ask())[b"accept-encoding"] == b"identity"


def test_the_operators_site_is_named_only_when_configured() -> None:
    named = headers_of(OpenRouter("k", app_url="https://a.example", app_title="A"), ask())
    assert (named[b"http-referer"], named[b"x-openrouter-title"]) == (b"https://a.example", b"A")
    assert headers_of(OpenRouter("k"), ask()).keys().isdisjoint({b"http-referer", b"x-openrouter-title"})


@pytest.mark.parametrize(("flavour", "seconds"), [("generic", 30), ("vllm", 30), ("ollama", 120), ("llamacpp", 120)])
def test_a_server_that_loads_models_gets_time_for_it(flavour: FlavourName, seconds: float) -> None:
    assert OpenAICompatible("local", flavour).first_byte_s == seconds


# Messages.

FORMS: Final[dict[str, dict[str, Any]]] = {"null": {"content": None}, "empty": {"content": ""}, "absent": {}}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flag", ["keep", "empty", "omit"])
def test_empty_content_beside_tool_calls_goes_out_as_flagged(form: str, flag: NullContent) -> None:
    message = {"role": "assistant", "tool_calls": [CALL], **FORMS[form]}
    expected = {"keep": FORMS[form], "empty": {"content": ""}, "omit": {}}[flag]
    for dialect in (
        OpenAICompatible("fast", null_content=flag),
        Cloudflare("k", null_content=flag),
        Sarvam("k", null_content=flag),
    ):
        messages = body_of(dialect, ask([*HELLO, message, {"role": "tool", "tool_call_id": "c", "content": "1"}]))[
            "messages"
        ]
        assert messages[1] == {"role": "assistant", "tool_calls": [CALL], **expected}
        assert len(messages) == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("flag", "expected"), [("keep", None), ("empty", ""), ("omit", "")])
def test_an_assistant_message_with_nothing_in_it_is_kept(form: str, flag: NullContent, expected: str | None) -> None:
    message = plain_message({"role": "assistant", **FORMS[form]}, flag)
    assert message == {"role": "assistant", **(FORMS[form] if expected is None else {"content": expected})}


@pytest.mark.parametrize("form", FORMS)
def test_empty_content_reaches_a_frontier_model_as_it_was_sent(form: str) -> None:
    message = {"role": "assistant", "tool_calls": [CALL], **FORMS[form]}
    assert body_of(OpenRouter("k"), ask([*HELLO, message]))["messages"][1] == message


@pytest.mark.parametrize("flag", ["keep", "empty", "omit"])
@given(content=st.text(min_size=1))
def test_content_that_is_there_is_never_touched(flag: NullContent, content: str) -> None:
    message = {"role": "assistant", "content": content, "tool_calls": [CALL]}
    assert plain_message(message, flag) == message


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": [1]}, '{"a":[1]}'), ("", "{}"), (None, "{}"), ({}, "{}"), ('{"a":1}', '{"a":1}')]
)
def test_replayed_arguments_are_always_json_text(arguments: Any, text: str) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    plain = plain_message({"role": "assistant", "content": "x", "tool_calls": [call]}, "keep")
    assert plain["tool_calls"] == [{"id": "c", "function": {"name": "f", "arguments": text}}]


@pytest.mark.parametrize(
    ("dialect", "role"),
    [
        (Sarvam("k"), "system"),
        (Cloudflare("k"), "system"),
        (OpenAICompatible("local", "vllm"), "system"),
        (OpenRouter("k"), "developer"),
    ],
)
def test_the_developer_role_goes_where_it_is_known(dialect: Dialect, role: str) -> None:
    assert body_of(dialect, ask([{"role": "developer", "content": "Be brief."}]))["messages"][0]["role"] == role


def test_a_strict_upstream_gets_known_message_fields_and_one_string() -> None:
    message = {"role": "assistant", "content": [QUESTION, QUESTION], "refusal": None, "annotations": []}
    messages = body_of(Sarvam("k"), ask([message]))["messages"]
    assert messages == [{"role": "assistant", "content": "What is it?\nWhat is it?"}]


def test_a_text_only_upstream_refuses_other_parts_instead_of_losing_them() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    with pytest.raises(Problem) as caught:
        Sarvam("k").chat(ask([{"role": "user", "content": [QUESTION, audio]}]))
    assert caught.value.param == "messages"


def test_text_comes_after_the_images_where_parts_are_taken_apart() -> None:
    question = ask([{"role": "user", "content": [QUESTION, PICTURE, QUESTION]}])
    content = body_of(OpenAICompatible("local", "ollama"), question)["messages"][0]["content"]
    assert content == [PICTURE, QUESTION, QUESTION]


@pytest.mark.parametrize("flavour", ["ollama", "vllm", "llamacpp"])
def test_a_server_in_our_own_network_never_fetches_what_a_client_names(flavour: FlavourName) -> None:
    with pytest.raises(Problem) as caught:
        OpenAICompatible("local", flavour).chat(ask([{"role": "user", "content": [QUESTION, LINK]}]))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "messages")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://10.0.0.1/a.png", "/etc/passwd"])
@pytest.mark.parametrize("kind", ["image_url", "video_url"])
def test_only_https_passes_even_where_links_may_pass(url: str, kind: str) -> None:
    part = {"type": kind, kind: {"url": url}}
    with pytest.raises(Problem):
        OpenAICompatible("local", "llamacpp", image_urls="pass").chat(ask([{"role": "user", "content": [part]}]))


def test_the_operator_may_let_links_pass() -> None:
    dialect = OpenAICompatible("local", "vllm", image_urls="pass")
    assert body_of(dialect, ask([{"role": "user", "content": [LINK]}]))["messages"][0]["content"] == [LINK]


# Capacity, affinity, stops and effort words.


@pytest.mark.parametrize(
    ("streams", "others", "patient", "expected"),
    [
        (True, False, False, {"rejectIfBusy": True}),
        (False, True, False, {"rejectIfBusy": True}),
        (False, False, False, None),
        (True, True, True, None),
    ],
)
def test_a_busy_upstream_turns_away_whoever_cannot_wait(
    streams: bool, others: bool, patient: bool, expected: dict[str, bool] | None
) -> None:
    raw = {"messages": HELLO}
    question = ChatAsk("m", raw, "salt", client_streams=streams, other_routes=others, patient=patient)
    assert body_of(Cloudflare("k"), question).get("options") == expected


def affinity(question: ChatAsk) -> bytes:
    return headers_of(Cloudflare("k"), question)[b"x-session-affinity"]


def test_calls_of_one_cache_key_meet_and_those_of_two_tenants_do_not() -> None:
    first, second = ask(prompt_cache_key="p"), ask([{"role": "user", "content": "Bye"}], prompt_cache_key="p")
    stranger = ChatAsk("m", first.raw, "other salt")
    assert affinity(first) == affinity(second) != affinity(stranger)


def test_calls_with_the_same_first_1024_characters_meet() -> None:
    start, image = "x" * 1000, {"role": "user", "content": [PICTURE, {"type": "text", "text": "y" * 24 + "end"}]}
    first = ask([{"role": "system", "content": start}, image])
    assert affinity(first) == affinity(ask([{"role": "user", "content": start + "y" * 24 + "other"}]))
    assert affinity(first) != affinity(ask([{"role": "user", "content": start + "y" * 23 + "z"}]))


def test_a_fifth_stop_sequence_is_refused_where_four_is_the_bound() -> None:
    assert body_of(Cloudflare("k"), ask(stop=list("abcd")))["stop"] == list("abcd")
    with pytest.raises(Problem) as caught:
        Cloudflare("k").chat(ask(stop=list("abcde")))
    assert (caught.value.status, caught.value.param) == (400, "stop")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("off", {"reasoning_effort": "off"}),
        (False, {"reasoning_effort": None}),
        ({"chat_template_kwargs": {"enable_thinking": False}}, {"chat_template_kwargs": {"enable_thinking": False}}),
    ],
)
def test_a_route_may_spell_an_effort_its_own_way(word: Any, expected: dict[str, Any]) -> None:
    options = {"efforts": {"none": word}}
    body = body_of(Cloudflare("k"), ChatAsk("m", {"messages": HELLO}, "salt", effort="none", options=options))
    assert {key: body[key] for key in body.keys() & {"reasoning_effort", "chat_template_kwargs"}} == expected


# Frontier fields.


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


# Cancel.


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("OpenAI", "stops_billing"),
        ("xAI", "stops_billing"),
        ("DeepSeek", "stops_billing"),
        ("Amazon Bedrock", "bills_anyway"),
        ("Google AI Studio", "bills_anyway"),
        ("Groq", "bills_anyway"),
        ("Newcomer", "unknown"),
        (None, "unknown"),
    ],
)
def test_what_a_cancel_does_to_the_bill_depends_on_who_serves(provider: str | None, expected: str) -> None:
    assert OpenRouter("k").cancel_semantics(provider, "openai/gpt-5.4") == expected


def test_a_cancel_ends_the_work_of_a_server_of_our_own_and_promises_nothing_elsewhere() -> None:
    assert OpenAICompatible("local", "vllm").cancel_semantics(None, "m") == "stops_billing"
    assert {each.cancel_semantics(None, "m") for each in (Sarvam("k"), Cloudflare("k"), OpenAICompatible("fast"))} == {
        "unknown"
    }
