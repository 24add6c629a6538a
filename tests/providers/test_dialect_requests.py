"""What is particular to one dialect's request: headers, paths, capacity, affinity, stops, what a cancel does."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import Problem
from app.providers.cloudflare import Cloudflare
from app.providers.dialect import ChatAsk, Dialect
from app.providers.openai_compatible import FlavourName, OpenAICompatible
from app.providers.openrouter import OpenRouter
from app.providers.sarvam import Sarvam
from tests.providers.chat_requests import HELLO, PICTURE, ask, body_of, headers_of


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
