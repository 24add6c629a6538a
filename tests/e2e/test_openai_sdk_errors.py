"""What the official OpenAI SDK makes of a refusal: its class, code and request id, and how often it asks again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import openai
import pytest
import trio
from openai import OpenAI
from openai.types.chat import ChatCompletion

from app.core.identity import now_us
from tests.e2e.calling import Caller, change, open_caller

Work = Callable[[OpenAI], Any]


def ask(text: str = "hi", model: str = "kimi-k2.6", **fields: Any) -> Work:
    def work(client: OpenAI) -> Any:
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **fields)

    return work


async def attempts(caller: Caller, work: Work, **options: Any) -> tuple[Any, int]:
    """The SDK's result or error, and how many requests it sent for it."""
    sent: list[httpx2.Request] = []

    def run() -> Any:
        with (
            httpx2.Client(event_hooks={"request": [sent.append]}) as http,
            OpenAI(
                **{"api_key": caller.house.customer.key, **options}, base_url=f"{caller.house.url}/v1", http_client=http
            ) as client,
        ):
            try:
                return work(client)
            except openai.APIError as error:
                return error

    return await trio.to_thread.run_sync(run), len(sent)


@pytest.mark.parametrize(
    ("work", "kind", "code", "param"),
    [
        (ask(model="nope"), openai.NotFoundError, "model_not_found", "model"),
        (ask(temperature=3), openai.BadRequestError, "invalid_value", "temperature"),
        (ask("[mock=context_length]"), openai.BadRequestError, "context_length_exceeded", None),
        (ask("[mock=content_policy]"), openai.BadRequestError, "content_policy_violation", None),
        (ask(model="nova-sonic"), openai.BadRequestError, "voice_agent_only_model", "model"),
    ],
)
async def test_a_refusal_has_its_class_code_and_param_and_is_not_repeated(
    caller: Caller, work: Work, kind: type[openai.APIStatusError], code: str, param: str | None
) -> None:
    error, sent = await attempts(caller, work)
    assert type(error) is kind
    assert (error.code, error.param, sent) == (code, param, 1)
    assert str(error.request_id).startswith("req_")
    assert error.response.headers["x-request-id"] == error.request_id


async def test_a_wrong_key_is_an_authentication_error(caller: Caller) -> None:
    for key in ("cm_" + "a" * 40, "sk-wrong"):
        error, sent = await attempts(caller, ask(), api_key=key)
        assert type(error) is openai.AuthenticationError
        assert (error.code, error.type, sent) == ("invalid_api_key", "invalid_request_error", 1)
        assert error.body == {
            **{"message": "Invalid API key", "type": "invalid_request_error"},
            **{"code": "invalid_api_key", "param": None},
        }


async def test_a_model_outside_the_key_is_a_permission_error(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"allowed_models": "sarvam-30b"}) as caller:
        error, sent = await attempts(caller, ask())
        assert type(error) is openai.PermissionDeniedError
        assert (error.code, error.param, sent) == ("model_not_allowed", "model", 1)


async def test_no_credits_is_402_with_the_balance_and_is_asked_once(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"credit_ucr": 5}) as caller:
        error, sent = await attempts(caller, ask())
        assert type(error) is openai.APIStatusError
        assert (error.status_code, error.code, error.type) == (402, "insufficient_credits", "insufficient_quota")
        assert error.response.headers["x-should-retry"] == "false"
        assert error.response.headers["x-credits-balance"] == "0.000005"
        assert sent == 1
        assert caller.upstream() == []


async def test_a_used_up_month_is_429_with_a_long_wait_and_is_asked_once(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"plan": "free"}) as caller:
        assert (await caller.chat()).status_code == 200
        change(caller.house, "UPDATE month_calls SET ended = 100 WHERE tenant_id = ?", caller.house.customer.tenant_id)
        error, sent = await attempts(caller, ask())
        assert type(error) is openai.RateLimitError
        assert (error.code, error.type, sent) == ("quota_exceeded", "insufficient_quota", 1)
        assert int(error.response.headers["retry-after"]) > 0


async def test_a_full_minute_is_429_and_the_sdk_comes_back_when_it_is_told(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"rpm": 60}) as caller:
        spent = now_us() + 60_000_000
        change(caller.house, "UPDATE api_keys SET tat = ? WHERE id = ?", spent, caller.house.customer.key_id)
        error, sent = await attempts(caller, ask(), max_retries=0)
        assert type(error) is openai.RateLimitError
        assert (error.code, error.response.headers["retry-after"], sent) == ("rate_limit_exceeded", "1", 1)
        began = trio.current_time()
        reply, sent = await attempts(caller, ask())
        assert isinstance(reply, ChatCompletion)
        assert sent == 2
        assert trio.current_time() - began >= 0.9


async def test_a_throttled_provider_is_429_with_the_providers_wait(caller: Caller) -> None:
    error, _ = await attempts(caller, ask("[mock=429_retry_after_7]", "openai/gpt-5.4-mini"), max_retries=0)
    assert type(error) is openai.RateLimitError
    assert (error.code, error.response.headers["retry-after"]) == ("rate_limit_exceeded", "7")


async def test_a_broken_provider_is_a_server_error_and_each_receipt_tells_the_repeat(caller: Caller) -> None:
    error, sent = await attempts(caller, ask("[mock=5xx]"))
    assert type(error) is openai.InternalServerError
    assert sent == 3
    repeats = [msgspec.json.decode(text)["sdk_retries"] for (text,) in caller.rows("SELECT receipt FROM calls")]
    assert repeats == [0, 1, 2]
    assert (await caller.settled()).charged == 0


@pytest.mark.parametrize("trigger", ["error_mid", "eof_mid", "rst_mid"])
async def test_an_error_in_a_stream_raises_with_our_code_and_is_not_repeated(caller: Caller, trigger: str) -> None:
    def read(client: OpenAI) -> Any:
        stream: Any = ask(f"[mock={trigger}] [pace=200]", stream=True)(client)
        for chunk in stream:
            assert chunk.choices
        raise AssertionError("the stream ended as if all was well")

    error, sent = await attempts(caller, read)
    assert type(error) is openai.APIError
    assert (error.code, error.type, sent) == ("upstream_error", "server_error", 1)
    assert "try again" in error.message
