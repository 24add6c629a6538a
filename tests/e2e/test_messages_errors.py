"""What the official Anthropic SDK makes of a refusal: class, type, code and request id, and how often it asks again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
import trio
from anthropic import Anthropic

from app.core.identity import now_us
from tests.e2e.calling import Caller, Json, change, open_caller, question

Work = Callable[[Anthropic], Any]
PNG: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "t", "content": [PNG]}


def ask(content: Any = "hi", model: str = "kimi-k2.6", **fields: Any) -> Work:
    def work(client: Anthropic) -> Any:
        turns: Any = [{"role": "user", "content": content}]
        return client.messages.create(**{"max_tokens": 50, "model": model, "messages": turns, **fields})

    return work


async def attempts(caller: Caller, work: Work, **options: Any) -> tuple[Any, int]:
    """The SDK's result or error, and how many requests it sent for it."""
    sent: list[httpx2.Request] = []

    def run() -> Any:
        given = {"api_key": caller.house.customer.key, "base_url": caller.house.url, **options}
        with (
            httpx2.Client(event_hooks={"request": [sent.append]}) as http,
            Anthropic(**given, http_client=http) as client,
        ):
            try:
                return work(client)
            except anthropic.APIError as error:
                return error

    return await trio.to_thread.run_sync(run), len(sent)


def told(error: anthropic.APIStatusError) -> tuple[type, str | None, str | None]:
    assert str(error.request_id).startswith("req_")
    assert error.response.headers["x-request-id"] == error.request_id
    body: Any = error.body
    assert (body["type"], body["request_id"]) == ("error", error.request_id)
    return type(error), error.type, error.error_code


@pytest.mark.parametrize(
    ("work", "wanted"),
    [
        (ask(model="nope"), (anthropic.NotFoundError, "not_found_error", "model_not_found")),
        (ask(max_tokens=0), (anthropic.BadRequestError, "invalid_request_error", "invalid_value")),
        (ask("[mock=context_length]"), (anthropic.BadRequestError, "invalid_request_error", "context_length_exceeded")),
        (ask([PNG], "sarvam-30b"), (anthropic.BadRequestError, "invalid_request_error", "unsupported_image_input")),
        (ask([RESULT], "sarvam-30b"), (anthropic.BadRequestError, "invalid_request_error", "unsupported_image_input")),
    ],
    ids=["model", "field", "upstream", "image", "image in a result"],
)
async def test_a_refusal_has_its_class_type_and_code_costs_nothing_and_is_not_repeated(
    caller: Caller, work: Work, wanted: tuple[type, str, str]
) -> None:
    error, sent = await attempts(caller, work)
    assert (told(error), sent) == (wanted, 1)
    assert (await caller.settled()).charged == 0


async def test_a_wrong_key_is_an_authentication_error(caller: Caller) -> None:
    error, sent = await attempts(caller, ask(), api_key="cm_" + "a" * 40)
    assert (told(error), sent) == ((anthropic.AuthenticationError, "authentication_error", "invalid_api_key"), 1)


async def test_a_key_without_the_permission_is_a_permission_error(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"permissions": "tts"}) as caller:
        error, _ = await attempts(caller, ask())
        assert told(error) == (anthropic.PermissionDeniedError, "permission_error", "permission_denied")


async def test_no_credits_is_a_billing_error_and_is_asked_once(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"credit_ucr": 5}) as caller:
        error, sent = await attempts(caller, ask())
        assert (error.status_code, error.type, error.error_code) == (402, "billing_error", "insufficient_credits")
        assert (error.response.headers["x-credits-balance"], sent) == ("0.000005", 1)
        assert caller.upstream() == []


async def test_a_full_minute_is_a_rate_limit_error_with_the_window_in_its_headers(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"rpm": 60}) as caller:
        change(
            caller.house,
            "UPDATE api_keys SET tat = ? WHERE id = ?",
            now_us() + 60_000_000,
            caller.house.customer.key_id,
        )
        error, _ = await attempts(caller, ask(), max_retries=0)
        assert told(error) == (anthropic.RateLimitError, "rate_limit_error", "rate_limit_exceeded")
        headers = error.response.headers
        assert headers["retry-after"] == "1"
        assert headers["anthropic-ratelimit-requests-limit"] == "60"
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")


async def test_a_good_answer_tells_what_is_left_of_the_window(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"rpm": 60}) as caller:
        whole = await caller.post(question("[tokens=1]", max_tokens=9), "/v1/messages")
        async with caller.stream(question("[tokens=1]", max_tokens=9), "/v1/messages") as stream:
            await stream.rest()
        for headers, left in ((dict(whole.headers), "59"), (dict(stream.headers), "58")):
            assert headers["anthropic-ratelimit-requests-limit"] == "60"
            assert headers["anthropic-ratelimit-requests-remaining"] == left
            assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
            assert headers["request-id"] == headers["x-request-id"]


async def test_a_provider_that_is_away_is_529_and_one_that_fails_is_502(caller: Caller) -> None:
    away, sent = await attempts(caller, ask("[mock=401]"), max_retries=0)
    assert (told(away), away.status_code) == ((anthropic.OverloadedError, "overloaded_error", "provider_error"), 529)
    failed, sent = await attempts(caller, ask("[mock=5xx]", "sarvam-30b"), max_retries=1)
    assert (told(failed), failed.status_code) == ((anthropic.InternalServerError, "api_error", "upstream_error"), 502)
    assert sent == 2
    assert (await caller.settled()).charged == 0


async def test_a_retry_that_succeeds_is_charged_once(caller: Caller) -> None:
    message, sent = await attempts(caller, ask("[mock=fail_once:a] [mock=fail_once:b] [tokens=5]", "sarvam-30b"))
    books = await caller.settled()
    assert (message.usage.output_tokens, sent) == (5, 1)
    assert caller.rows("SELECT COUNT(*) FROM ledger_entries WHERE kind = 'charge'") == [(1,)]
    assert books.charged > 0


@pytest.mark.parametrize("then_stop", [False, True])
@pytest.mark.parametrize("trigger", ["error_mid", "eof_mid", "rst_mid"])
async def test_an_error_in_a_stream_raises_with_our_code_in_either_order_and_is_not_repeated(
    caller: Caller, trigger: str, then_stop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.messages.ERROR_THEN_STOP", then_stop)

    def read(client: Anthropic) -> Any:
        turns: Any = [{"role": "user", "content": f"[mock={trigger}] [pace=200]"}]
        with client.messages.stream(model="kimi-k2.6", max_tokens=50, messages=turns) as stream:
            for event in stream:
                assert event.type not in {"message_delta", "message_stop"}
        raise AssertionError("the stream ended as if all was well")

    error, sent = await attempts(caller, read)
    assert isinstance(error, anthropic.APIStatusError)
    assert (error.type, error.error_code, sent) == ("api_error", "upstream_error", 1)
    assert (await caller.settled()).charged == 0


PLACES = [
    ("GET", "/v1/messages", 405, "invalid_request_error", "method_not_allowed"),
    ("POST", "/v1/messages/batches", 404, "not_found_error", "not_found"),
    ("GET", "/anthropic/v1/nowhere", 404, "not_found_error", "not_found"),
    ("GET", "/v1/v1/models/nope", 404, "not_found_error", "model_not_found"),
    ("POST", "/v1/messages/count_tokens", 400, "invalid_request_error", "invalid_request_error"),
]


@pytest.mark.parametrize(("method", "path", "status", "kind", "code"), PLACES)
async def test_every_answer_of_this_surface_has_its_envelope_and_id(
    caller: Caller, method: str, path: str, status: int, kind: str, code: str
) -> None:
    reply = await caller.http.request(method, path)
    assert reply.status_code == status
    check_envelope(reply, kind, code)


def check_envelope(reply: httpx2.Response, kind: str, code: str) -> None:
    body: Json = reply.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert (body["type"], body["error"]["type"], body["error"]["details"]["error_code"]) == ("error", kind, code)
    assert reply.headers["request-id"] == reply.headers["x-request-id"] == body["request_id"]


async def test_a_body_too_large_is_413_in_this_envelope_and_a_crash_is_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_caller(tmp_path, body_cap_bytes=2000) as caller:
        large = await caller.post(question("x" * 3000, max_tokens=9), "/anthropic/v1/messages")
        assert large.status_code == 413
        check_envelope(large, "request_too_large", "request_too_large")

        def crash(_body: bytes) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("app.api.messages.parse_messages", crash)
        crashed = await caller.post(question(max_tokens=9), "/v1/messages")
        assert crashed.status_code == 500
        check_envelope(crashed, "api_error", "internal_error")


async def test_the_openai_surface_keeps_its_own_envelope_and_credential(caller: Caller) -> None:
    key = caller.house.customer.key
    caller.http.headers.pop("authorization")
    for path, body in (("/v1/chat/completions", question()), ("/v1/credits", None)):
        reply = await caller.http.request("POST" if body else "GET", path, json=body, headers={"x-api-key": key})
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "request-id" not in reply.headers


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "status"),
    [(None, "good", 200), ("good", None, 200), ("good", "bad", 200), ("bad", "good", 401), (None, None, 401)],
)
async def test_either_credential_opens_and_bearer_wins(
    caller: Caller, authorization: str | None, x_api_key: str | None, status: int
) -> None:
    keys = {"good": caller.house.customer.key, "bad": "cm_" + "a" * 40}
    caller.http.headers.pop("authorization")
    headers = {} if x_api_key is None else {"x-api-key": keys[x_api_key]}
    if authorization is not None:
        headers["authorization"] = f"Bearer {keys[authorization]}"
    reply = await caller.http.post("/v1/messages", json=question("[tokens=1]", max_tokens=9), headers=headers)
    assert reply.status_code == status
    listed = await caller.http.get("/v1/models", headers={**headers, "anthropic-version": "2023-06-01"})
    assert listed.status_code == status


async def test_fields_that_were_left_out_are_named_as_the_client_named_them(caller: Caller) -> None:
    body = question("[tokens=1]", "sarvam-30b", max_tokens=2000, metadata={"user_id": "u"}, top_k=3)
    reply = await caller.post({**body, "thinking": {"type": "enabled", "budget_tokens": 1024}}, "/v1/messages")
    assert reply.headers["x-cm-dropped-params"] == "top_k, metadata.user_id, thinking.budget_tokens"
    five = question(max_tokens=9, stop_sequences=list("abcde"))
    refused = await caller.post(five, "/v1/messages")
    assert (refused.status_code, refused.json()["error"]["details"]["param"]) == (400, "stop_sequences")


async def test_a_trailing_slash_and_a_beta_query_are_served_and_never_redirected(caller: Caller) -> None:
    for path in ("/v1/messages/", "/v1/messages?beta=true", "/anthropic/v1/messages/?beta=true"):
        reply = await caller.post(question("[tokens=1]", max_tokens=9), path)
        assert (reply.status_code, reply.json()["type"]) == (200, "message")


async def test_a_page_may_call_and_read_the_headers_that_tell_when_to_retry(caller: Caller) -> None:
    asked = "x-api-key, anthropic-version, anthropic-dangerous-direct-browser-access, content-type, x-stainless-os"
    origin = {"origin": "https://page.example"}
    preflight = await caller.http.request(
        "OPTIONS", "/v1/messages", headers={**origin, "access-control-request-headers": asked}
    )
    assert (preflight.status_code, preflight.headers["access-control-allow-headers"]) == (204, asked)
    refused = await caller.http.post("/v1/messages", headers={**origin, "authorization": "Bearer no"})
    exposed = refused.headers["access-control-expose-headers"].split(", ")
    window = {f"anthropic-ratelimit-requests-{name}" for name in ("limit", "remaining", "reset")}
    assert {"request-id", "retry-after", "x-should-retry", *window} <= set(exposed)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
