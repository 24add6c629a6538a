"""A request that cannot be served: the right status, code and param, words that say what to send, and no cost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.calling import CHAT, Caller, Json, open_caller, question

TOOL: Json = {"type": "function", "function": {"name": "f"}}
IMAGE: Json = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}
CALL: Json = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER: Json = {"role": "user", "content": "hi"}
INVALID, VALUE, TYPE, MISSING = "invalid_request_error", "invalid_value", "invalid_type", "missing_required_parameter"


def with_messages(*messages: Any, **fields: Any) -> Json:
    return {"model": "kimi-k2.6", "messages": list(messages), **fields}


async def check_refused(caller: Caller, reply: httpx2.Response, status: int, code: str, param: str | None) -> str:
    """The whole error, no trace in the books, no call to a provider. Returns the message."""
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    kind = "invalid_request_error" if status < 500 else "server_error"
    assert error == {"message": error["message"], "type": kind, "param": param, "code": code}
    books = caller.books()
    assert (books.calls, books.held) == (0, 0)
    assert caller.upstream() == []
    message: str = error["message"]
    return message


NOT_JSON: list[tuple[bytes, str | None, str]] = [
    (b"", None, "send a JSON object"),
    (b"{", None, "Send a JSON object"),
    (b"hello", None, "Send a JSON object"),
    (b"[1]", None, "must be a JSON object, got an array of 1 items"),
    (b'"hi"', None, "must be a JSON object"),
    (b"\xff\xfe", None, "UTF-8"),
    (b'{"messages":[{"role":"user","content":"\\ud83d"}]}', "messages[0].content", "lone surrogate"),
    (b'{"messages":[{"role":"user","content":"hi"}],"temperature":NaN}', "temperature", "NaN"),
    (b'{"messages":[{"role":"user","content":"hi"}],"top_p":Infinity}', "top_p", "Infinity"),
    (b'{"messages":[{"role":"user","content":"hi"}],"seed":1e999}', "seed", "too large"),
    (b'{"a":' * 200 + b"1" + b"}" * 200, None, "nested too deep"),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, None, "nested too deep"),
]


@pytest.mark.parametrize(("body", "param", "words"), NOT_JSON, ids=range(len(NOT_JSON)))
async def test_what_is_not_a_json_object_is_refused(caller: Caller, body: bytes, param: str | None, words: str) -> None:
    assert words in await check_refused(caller, await caller.post(body), 400, INVALID, param)


FIELDS: list[tuple[Json, str, str, str]] = [
    ({"model": "kimi-k2.6"}, MISSING, "messages", "is required: send an array of 1 to 2000"),
    (with_messages(), VALUE, "messages", "an array of 1 to 2000"),
    (with_messages(*[USER] * 2001), VALUE, "messages", "an array of 1 to 2000"),
    ({"messages": "hi"}, TYPE, "messages", "must be an array"),
    (with_messages("hi"), TYPE, "messages[0]", "must be an object"),
    (with_messages({"content": "hi"}), MISSING, "messages[0].role", 'one of "assistant"'),
    (with_messages({"role": "robot", "content": "hi"}), VALUE, "messages[0].role", '"robot"'),
    (with_messages({"role": "user", "content": 5}), TYPE, "messages[0].content", "a string"),
    (with_messages({"role": "user"}), MISSING, "messages[0].content", "send a string"),
    (with_messages({"role": "user", "content": None}), TYPE, "messages[0].content", "must not be null"),
    (with_messages({"role": "user", "content": [{"type": "x"}]}), VALUE, "messages[0].content[0].type", "one of"),
    (with_messages({"role": "tool", "content": "4"}), MISSING, "messages[0].tool_call_id", "send the id"),
    (
        with_messages(USER, {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]}),
        *(VALUE, "messages[1].tool_calls[1].id", "give each call its own id"),
    ),
    (question(model=5), TYPE, "model", "a non-empty string"),  # type: ignore[arg-type]
    (question(model=""), VALUE, "model", "a non-empty string"),
    (question(temperature=2.1), VALUE, "temperature", "a number from 0 to 2"),
    (question(temperature="1"), TYPE, "temperature", "a number from 0 to 2"),
    (question(max_tokens=0), VALUE, "max_tokens", "an integer from 1 to 1048576"),
    (question(max_tokens=1.5), TYPE, "max_tokens", "an integer"),
    (question(max_tokens=10**30), VALUE, "max_tokens", "an integer"),
    (question(max_completion_tokens=-1), VALUE, "max_completion_tokens", "an integer from 1"),
    (question(n=6), VALUE, "n", "an integer from 1 to 5"),
    (question(n=True), TYPE, "n", "got true"),
    (question(top_p=1.01), VALUE, "top_p", "a number from 0 to 1"),
    (question(top_k=0), VALUE, "top_k", "an integer from 1 to 200"),
    (question(frequency_penalty=-2.5), VALUE, "frequency_penalty", "a number from -2 to 2"),
    (question(presence_penalty=3), VALUE, "presence_penalty", "a number from -2 to 2"),
    (question(repetition_penalty=2.5), VALUE, "repetition_penalty", "a number from 0 to 2"),
    (question(seed=-1), VALUE, "seed", "an integer from 0"),
    (question(seed=2**63), VALUE, "seed", "an integer from 0"),
    (question(stop=["x"] * 17), VALUE, "stop", "16"),
    (question(stop=[1]), TYPE, "stop[0]", "a string"),
    (question(logit_bias={"1": 101}), VALUE, "logit_bias", "from -100 to 100"),
    (question(top_logprobs=3), INVALID, "top_logprobs", "send logprobs true"),
    (question(logprobs=True, top_logprobs=21), VALUE, "top_logprobs", "from 0 to 20"),
    (question(stream="yes"), TYPE, "stream", "true or false"),
    (question(stream_options={"include_usage": True}), INVALID, "stream_options", "send stream true"),
    (question(tools=[TOOL] * 2), VALUE, "tools[1].function.name", "its own name"),
    (question(tools=[{**TOOL, "function": {"name": str(i)}} for i in range(129)]), VALUE, "tools", "128"),
    (question(tools=[{"type": "web_search"}]), VALUE, "tools[0].type", '"function"'),
    (question(tool_choice="required"), INVALID, "tool_choice", "send tools"),
    (question(response_format={"type": "xml"}), VALUE, "response_format.type", '"json_schema"'),
    (question(response_format={"type": "json_schema"}), MISSING, "response_format.json_schema", "send an object"),
    (question(structured_outputs=True), INVALID, "structured_outputs", "send response_format"),
    (question(reasoning_effort="extreme"), VALUE, "reasoning_effort", "none, minimal, low, medium, high"),
    (question(user="x" * 257), VALUE, "user", "at most 256 characters"),
    (question(models=["a"] * 33), VALUE, "models", "32"),
    (question(route="cheapest"), VALUE, "route", '"fallback"'),
    (question(plugins=["magic"]), VALUE, "plugins[0]", "web"),
    (question(provider={"sort": "beauty"}), VALUE, "provider.sort", "price"),
    (question(provider=[]), TYPE, "provider", "an object"),
    (with_messages({**IMAGE, "content": [{"type": "image_url"}]}), MISSING, "messages[0].content[0].image_url", "send"),
    (
        with_messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}),
        *(VALUE, "messages[0].content[0].image_url.url", "https:// or a data: URL"),
    ),
]


@pytest.mark.parametrize(("body", "code", "param", "words"), FIELDS, ids=[f"{f[2]}-{i}" for i, f in enumerate(FIELDS)])
async def test_a_field_that_is_wrong_is_named_with_what_to_send(
    caller: Caller, body: Json, code: str, param: str, words: str
) -> None:
    message = await check_refused(caller, await caller.post(body), 400, code, param)
    assert words in message
    assert param.rpartition(".")[2].split("[")[0] in message


async def test_a_streamed_request_is_refused_like_any_other(caller: Caller) -> None:
    reply = await caller.post(question(stream=True, temperature=5))
    await check_refused(caller, reply, 400, VALUE, "temperature")
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("gpt-99", 404, "model_not_found"),
        ("nobody/nothing", 404, "model_not_found"),
        ("local/llama", 404, "model_not_found"),
        ("saaras:v3", 404, "model_not_found"),
        ("search:exa", 404, "model_not_found"),
        ("gpt-4o-transcribe", 404, "model_not_found"),
        ("gpt-realtime", 400, "voice_agent_only_model"),
        ("../../etc/passwd", 404, "model_not_found"),
        ("x" * 5000, 404, "model_not_found"),
    ],
)
async def test_a_model_that_cannot_chat_is_refused(caller: Caller, model: str, status: int, code: str) -> None:
    message = await check_refused(caller, await caller.chat(model=model), status, code, "model")
    assert len(message) < 300


@pytest.mark.parametrize("model", ["sarvam-30b", "kimi-k2.5-fast", "gpt-oss-120b", "deepseek/deepseek-v4-pro"])
async def test_an_image_for_a_blind_model_costs_nothing(caller: Caller, model: str) -> None:
    reply = await caller.post({"model": model, "messages": [IMAGE]})
    message = await check_refused(caller, reply, 400, "unsupported_image_input", "messages")
    assert model in message


async def test_a_prompt_beyond_the_window_costs_nothing(caller: Caller) -> None:
    reply = await caller.chat("word " * 90_000, "sarvam-30b")
    message = await check_refused(caller, reply, 400, "context_length_exceeded", "messages")
    assert "65536" in message


async def test_a_prompt_that_the_provider_finds_too_long_costs_nothing(caller: Caller) -> None:
    for model in ("sarvam-30b", "kimi-k2.6", "openai/gpt-5.4", "kimi-k2.5-fast"):
        reply = await caller.chat("[mock=context_length]", model)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert (await caller.settled()).charged == 0


async def test_what_shapes_the_answer_and_cannot_be_had_is_refused(caller: Caller) -> None:
    reply = await caller.chat("hi", "kimi-k2.6", stop=["1", "2", "3", "4", "5"])
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "stop")
    assert "at most 4 stop sequences" in error["message"]
    assert caller.books().calls == 0


async def test_unknown_fields_are_ignored_and_stand_in_the_receipt(caller: Caller) -> None:
    fields: Json = {"tempurature": 1, "api_base": "http://127.0.0.1:1", "base_url": "http://127.0.0.1:1", "x" * 100: 1}
    reply = await caller.chat("[tag=unknown] [tokens=1]", **fields)
    assert reply.status_code == 200
    assert fields.keys().isdisjoint(caller.upstream("unknown")[0].body)
    ignored = (await caller.receipt(reply.json()["id"]))["ignored_parameters"]
    assert ignored == ["tempurature", "api_base", "base_url", "x" * 64]


async def test_no_credits_is_402_before_anything_costs(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"credit_ucr": 0}) as caller:
        reply = await caller.chat()
        assert (reply.status_code, reply.json()["error"]["code"]) == (402, "insufficient_credits")
        assert "Top up" in reply.json()["error"]["message"]
        assert caller.upstream() == []
        assert caller.books().calls == 0


async def test_credits_for_less_than_the_first_step_are_enough_for_a_short_answer(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"credit_ucr": 20_000}) as caller:
        assert (await caller.chat("[tokens=9]")).status_code == 402
        assert (await caller.chat("[tokens=9]", max_tokens=20)).status_code == 200


async def test_a_body_over_the_cap_is_413_and_the_next_request_is_served(tmp_path: Path) -> None:
    async with open_caller(tmp_path, body_cap_bytes=10_000) as caller:
        large = json.dumps(question("x" * 200_000)).encode()

        async def in_pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(large), 1000):
                yield large[start : start + 1000]

        whole = await caller.post(large)
        assert "10000 bytes" in await check_refused(caller, whole, 413, "request_too_large", None)
        pieces = await caller.http.post(CHAT, content=in_pieces())
        await check_refused(caller, pieces, 413, "request_too_large", None)
        assert (await caller.chat("[tokens=1]")).status_code == 200


async def test_over_http2_a_body_over_the_cap_ends_its_own_stream_only(tmp_path: Path) -> None:
    async with (
        open_caller(tmp_path, body_cap_bytes=10_000) as caller,
        httpx2.AsyncClient(
            base_url=caller.house.url, headers=caller.house.headers, http1=False, http2=True, timeout=10
        ) as http,
    ):
        large = json.dumps(question("x" * 200_000)).encode()
        statuses = [(await http.post(CHAT, content=body)).status_code for body in (large, b"{", large)]
        assert statuses == [413, 400, 413]
        assert (await http.post(CHAT, json=question("[tokens=1]"))).status_code == 200
