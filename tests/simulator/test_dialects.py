"""Each dialect in its own words: envelopes, ids, reasoning, where usage sits, what it refuses."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from scripts.simulator.dialects.cloudflare import CLOUDFLARE
from scripts.simulator.dialects.dialect import Dialect
from scripts.simulator.dialects.openai import LOCAL, OPENAI
from scripts.simulator.dialects.openrouter import OPENROUTER
from scripts.simulator.dialects.sarvam import SARVAM
from scripts.simulator.script import Script
from scripts.simulator.triggers import Refusal
from tests.simulator.asking import DIALECTS, Json, asker, body_of, chat_body, chunks_of, contents, events_of

each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def said_error(dialect: Dialect, body: Json) -> object:
    """The dialect's own word for the error in a body, found where its clients look."""
    match dialect.name:
        case "openrouter":
            return body["error"]["metadata"]["error_type"]
        case "cloudflare":
            return body["errors"][0]["code"]
        case "sarvam":
            return body["error"]["code"]
        case _:
            return body["error"]["type"]


@each_dialect
def test_every_refusal_has_words_in_every_dialect(dialect: Dialect) -> None:
    for kind in get_args(Refusal):
        status, body = dialect.refuse(kind)
        assert status >= 400
        assert said_error(dialect, body) == dialect.errors[kind].code


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("5xx", [(500, "server"), (500, 8007), (500, "internal_server_error"), (500, "InternalServerError")]),
        ("502", [(502, "provider_unavailable"), (502, 8007), (502, "model_call_error"), (502, "api_error")]),
        (
            "503",
            [
                (503, "provider_overloaded"),
                (503, 8007),
                (503, "billing_service_unavailable_error"),
                (503, "unavailable_error"),
            ],
        ),
        (
            "529",
            [(529, "provider_overloaded"), (529, 8007), (529, "internal_server_error"), (529, "overloaded_error")],
        ),
        (
            "401",
            [(401, "authentication"), (401, 10000), (403, "invalid_api_key_error"), (401, "invalid_request_error")],
        ),
        (
            "402",
            [(402, "payment_required"), (429, 3036), (429, "insufficient_quota_error"), (402, "insufficient_quota")],
        ),
        ("403", [(403, "permission_denied"), (403, 3023), (403, "forbidden"), (403, "permission_error")]),
        ("404", [(404, "not_found"), (404, 5007), (404, "not_found_error"), (404, "NotFoundError")]),
        (
            "429",
            [(429, "rate_limit_exceeded"), (429, 3040), (429, "rate_limit_exceeded_error"), (429, "rate_limit_error")],
        ),
        (
            "context_length",
            [
                (400, "context_length_exceeded"),
                (413, 5021),
                (400, "invalid_request_error"),
                (400, "invalid_request_error"),
            ],
        ),
        (
            "content_policy",
            [
                (403, "content_policy_violation"),
                (400, 3030),
                (400, "invalid_request_error"),
                (400, "invalid_request_error"),
            ],
        ),
        (
            "bad_request",
            [(400, "invalid_request"), (400, 8007), (400, "invalid_request_error"), (400, "invalid_request_error")],
        ),
    ],
)
def test_a_trigger_fails_in_the_dialects_own_way(trigger: str, expected: list[tuple[int, object]]) -> None:
    scripts = [asker(dialect)(chat_body(f"[mock={trigger}]"))[0] for dialect in DIALECTS]
    seen = [
        (script.status, said_error(dialect, body_of(script))) for dialect, script in zip(DIALECTS, scripts, strict=True)
    ]
    assert seen == expected
    assert all(script.fault for script in scripts)


@each_dialect
def test_without_a_credential_the_answer_is_the_dialects_own_refusal(dialect: Dialect) -> None:
    ask = asker(dialect)
    refused = [ask(chat_body(), headers)[0] for headers in ({}, {dialect.key_header or "": "Bearer "})]
    assert [script.status for script in refused] == [dialect.errors["bad_key"].status] * 2


def test_a_local_server_asks_for_no_key() -> None:
    script, _ = asker(LOCAL)(chat_body(), headers={})
    assert script.status == 200


@each_dialect
@pytest.mark.parametrize(
    "body",
    [b"{no json", b"[]", b'{"model":"m"}', b'{"model":"m","messages":[]}', b'{"model":1,"messages":[{}]}', b"\xff"],
)
def test_a_request_that_is_none_is_refused(dialect: Dialect, body: bytes) -> None:
    script, _ = asker(dialect)(body)
    assert script.status == 400


@each_dialect
def test_an_unknown_trigger_is_refused_aloud(dialect: Dialect) -> None:
    script, _ = asker(dialect)(chat_body("[mock=hang_midd]"))
    assert script.status == 400
    assert "hang_midd" in msgspec.json.encode(body_of(script)).decode()


@pytest.mark.parametrize("field", ["stream_options", "logprobs", "user", "top_k", "max_completion_tokens"])
def test_only_sarvam_refuses_fields_it_does_not_know(field: str) -> None:
    extra = {field: {"include_usage": True} if field == "stream_options" else 1 if field != "logprobs" else True}
    statuses = {dialect.name: asker(dialect)(chat_body("hi", **extra))[0].status for dialect in DIALECTS}
    assert statuses == {"openrouter": 200, "cloudflare": 200, "sarvam": 400, "openai": 200}


def streamed(dialect: Dialect, text: str = "[tokens=3]", **fields: object) -> tuple[Script, list[Json]]:
    script, _ = asker(dialect)(chat_body(text, stream=True, **fields))
    return script, chunks_of(script)


def test_openrouter_comments_before_the_first_token() -> None:
    script, _ = asker(OPENROUTER)(chat_body("[first=200]", stream=True))
    first = next(iter(script.steps))
    assert (first.data, first.at_s) == (b": OPENROUTER PROCESSING\n\n", 0.0)


def test_openrouter_names_its_provider_and_native_finish() -> None:
    script, chunks = streamed(OPENROUTER)
    assert all(chunk["id"].startswith("gen-") and chunk["provider"] == "Simulated" for chunk in chunks)
    assert chunks[-2]["choices"][0]["native_finish_reason"] == "stop"
    assert ("X-Generation-Id", chunks[0]["id"]) in script.headers


def test_openrouter_always_ends_with_usage_and_its_cost() -> None:
    _, chunks = streamed(OPENROUTER)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["cost"] > 0
    assert not any("usage" in chunk for chunk in chunks[:-1])


def test_openrouter_calls_its_thoughts_reasoning() -> None:
    _, chunks = streamed(OPENROUTER, "[reasoning=4]", reasoning={"effort": "low"})
    assert len(contents(chunks, "reasoning")) == 4


@pytest.mark.parametrize(("asked", "count"), [(True, 1), (False, 0)])
def test_cloudflare_sends_usage_only_when_asked(asked: bool, count: int) -> None:
    _, chunks = streamed(CLOUDFLARE, stream_options={"include_usage": asked})
    assert sum("usage" in chunk for chunk in chunks) == count


def test_sarvam_sends_usage_together_with_the_finish() -> None:
    _, chunks = streamed(SARVAM, "[tokens=3][reasoning=2]", reasoning_effort="low")
    assert [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert len(contents(chunks, "reasoning_content")) == 2


@each_dialect
def test_streamed_and_whole_answers_say_the_same(dialect: Dialect) -> None:
    _, chunks = streamed(dialect, "[tokens=9]")
    script, _ = asker(dialect)(chat_body("[tokens=9]"))
    whole = body_of(script)
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"]["content"] == "".join(contents(chunks))
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] == 9


@each_dialect
def test_an_in_band_error_is_the_dialects_own(dialect: Dialect) -> None:
    script, _ = asker(dialect)(chat_body("[mock=error_mid]", stream=True))
    *before, last = [event for event in events_of(list(script.steps)) if event != "[DONE]"]
    broken = msgspec.json.decode(last)
    assert said_error(dialect, broken) == dialect.errors["server_error"].code
    assert len(contents([msgspec.json.decode(event) for event in before])) == 5
    if dialect is OPENROUTER:
        assert broken["choices"][0]["finish_reason"] == "error"


def test_only_the_generic_server_says_done_after_an_error() -> None:
    endings = {
        dialect.name: events_of(list(asker(dialect)(chat_body("[mock=error_mid]", stream=True))[0].steps))[-1]
        for dialect in DIALECTS
    }
    assert [name for name, last in endings.items() if last == "[DONE]"] == [OPENAI.name]
