"""What ends a response other than well: providers, length, silence, credits, bad requests; told and charged right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from openai import APIStatusError, OpenAI

from tests.core.responses_order import Json, Reader, check, events
from tests.e2e.calling import Caller, open_caller
from tests.e2e.test_openai_sdk import with_sdk

PATH: Final = "/v1/responses"
MODEL: Final = "openai/gpt-5.4-mini"


async def asked(caller: Caller, text: str, **fields: Any) -> Reader:
    reply = await caller.post({"model": MODEL, "input": text, "stream": True, **fields}, PATH)
    assert reply.status_code == 200, reply.text
    return check(reply.content)


@pytest.mark.parametrize("trigger", ["error_mid", "eof_mid", "end_mid", "rst_mid"])
async def test_a_provider_that_fails_in_mid_answer_fails_the_response_and_is_free(caller: Caller, trigger: str) -> None:
    final = (await asked(caller, f"[mock={trigger}] [pace=200]")).final
    assert (final["status"], final["error"]["code"], final["usage"]) == ("failed", "server_error", None)
    assert final["output"][0]["status"] == "incomplete"
    receipt = await caller.receipt(final["id"])
    assert (receipt["credits"], receipt["settlement_rule"], receipt["outcome"]) == (0, "B6", "failed")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("trigger", "status"), [("5xx", 502), ("429_retry_after_7", 429), ("empty_answer", 502)])
async def test_a_refusal_before_the_beginning_is_a_real_status(
    caller: Caller, trigger: str, status: int, stream: bool
) -> None:
    reply = await caller.post({"model": MODEL, "input": f"[mock={trigger}]", "stream": stream}, PATH)
    assert reply.status_code == status
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}
    assert caller.books().charged == 0


async def test_an_answer_cut_by_length_is_incomplete_and_charged(caller: Caller) -> None:
    reader = await asked(caller, "[mock=length] [tokens=6]")
    whole = await caller.post({"model": MODEL, "input": "[mock=length] [tokens=6]"}, PATH)
    for final in (reader.final, whole.json()):
        assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        receipt = await caller.receipt(final["id"])
        assert (receipt["settlement_rule"], receipt["tokens_completion"]) == ("B10", final["usage"]["output_tokens"])


async def test_a_silent_provider_is_covered_by_heartbeats_that_hold_the_output_so_far(database_url: str) -> None:
    async with open_caller(database_url, heartbeat_s=0.05, gap_s=0.4) as caller:
        body = {"model": MODEL, "input": "[mock=hang_mid]", "stream": True}
        stream = (await caller.post(body, PATH)).content
    beats = [event["response"]["output"] for event in events(stream) if event["type"] == "response.in_progress"]
    assert len(beats) > 3
    assert beats[-1][0]["content"][0]["text"] != ""
    assert check(stream).ended == "failed"


@pytest.mark.parametrize(
    ("trigger", "basis", "rule"),
    [("usage_zero", "provider_usage", "B8"), ("no_usage", "tokenizer_estimate", "B9")],
)
async def test_usage_is_always_whole_and_what_is_charged(caller: Caller, trigger: str, basis: str, rule: str) -> None:
    final = (await asked(caller, f"[mock={trigger}] [tokens=7]")).final
    usage, receipt = final["usage"], await caller.receipt(final["id"])
    assert (receipt["settlement_basis"], receipt["settlement_rule"]) == (basis, rule)
    assert (usage["input_tokens"], usage["output_tokens"]) == (receipt["tokens_prompt"], receipt["tokens_completion"])
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_credits_that_run_out_leave_the_response_incomplete(database_url: str) -> None:
    async with open_caller(database_url, customer={"credit_ucr": 400_000}) as caller:
        final = (await asked(caller, "[tokens=4000]", model="openai/gpt-5.4-mini")).final
        assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert (await caller.receipt(final["id"]))["settlement_rule"] == "B11"
        assert caller.books().balance >= 0


async def test_an_sdk_that_streams_sees_the_failure(caller: Caller) -> None:
    def read(client: OpenAI) -> Any:
        with client.responses.stream(model=MODEL, input="[mock=error_mid] [pace=200]") as stream:
            return list(stream)[-1]

    last = await with_sdk(caller, read)
    assert (last.type, last.response.error.code) == ("response.failed", "server_error")


async def test_a_stream_is_framed_for_every_client(caller: Caller) -> None:
    reply = await caller.post({"model": MODEL, "input": "[tokens=3]", "stream": True}, PATH, accept_encoding="gzip, br")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache, no-transform"
    assert "content-encoding" not in reply.headers
    assert "content-length" not in reply.headers
    assert b"[DONE]" not in reply.content
    assert reply.headers["x-generation-id"] == check(reply.content).final["id"]


def function(name: str = "f", **more: Any) -> Json:
    return {"type": "function", "name": name, **more}


def image(url: str) -> list[Json]:
    return [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]


BAD: Final[list[tuple[Json, str, str]]] = [
    ({}, "missing_required_parameter", "input"),
    ({"input": []}, "missing_required_parameter", "input"),
    ({"input": 7}, "invalid_type", "input"),
    ({"input": [{"role": "robot", "content": "hi"}]}, "invalid_value", "input[0].role"),
    ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
    ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "invalid_value", "input[0].type"),
    ({"input": [{"type": "function_call_output", "output": ""}]}, "missing_required_parameter", "input[0].call_id"),
    ({"input": image("http://example.com/a.png")}, "invalid_value", "input[0].content[0].image_url"),
    ({"input": "hi", "max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
    ({"input": "hi", "temperature": 3}, "invalid_value", "temperature"),
    ({"input": "hi", "tools": [{"type": "web_search"}]}, "unsupported_tool_type", "tools[0].type"),
    ({"input": "hi", "tools": [function(), function()]}, "invalid_value", "tools[1].name"),
    (
        {"input": "hi", "tools": [function()], "tool_choice": {"type": "function", "name": "g"}},
        "invalid_request_error",
        "tool_choice.name",
    ),
    ({"input": "hi", "tool_choice": "required"}, "invalid_request_error", "tool_choice"),
    ({"input": "hi", "text": {"format": {"type": "json_schema"}}}, "missing_required_parameter", "text.format.name"),
    ({"input": "hi", "reasoning": {"effort": "huge"}, "model": "kimi-k2.6"}, "invalid_value", "reasoning.effort"),
    ({"input": "hi", "conversation": "conv_1"}, "unsupported_parameter", "conversation"),
    ({"input": "hi", "prompt": {"id": "p"}}, "unsupported_parameter", "prompt"),
    ({"input": "hi", "metadata": {"a": 1}}, "invalid_type", "metadata"),
]


async def test_a_bad_request_is_told_in_this_surface_s_own_names_and_costs_nothing(caller: Caller) -> None:
    for body, code, param in BAD:
        reply = await caller.post({"model": MODEL, **body}, PATH)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, code, param), (body, error)
        assert "messages[" not in error["message"]
        assert "response_format" not in error["message"]
    assert caller.upstream() == []
    assert caller.books().calls == 0


async def test_a_parameter_that_the_model_lacks_is_named_as_the_client_knows_it(caller: Caller) -> None:
    form = {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}}
    seen = set()
    for model in ("sarvam-30b", "mistral-small-3.1"):
        reply = await caller.post({"model": model, "input": "hi", "text": form}, PATH)
        if reply.status_code == 400:
            seen.add(reply.json()["error"]["param"])
    assert seen <= {"text.format"}


@pytest.mark.parametrize(
    ("work", "status"),
    [
        (lambda client: client.responses.create(model="no-such-model", input="hi"), 404),
        (lambda client: client.responses.retrieve("resp_none"), 404),
        (lambda client: client.with_options(api_key="cm_x").responses.create(model=MODEL, input="hi"), 401),
    ],
)
async def test_the_sdk_raises_by_status(caller: Caller, work: Callable[[OpenAI], Any], status: int) -> None:
    def run(client: OpenAI) -> APIStatusError:
        with pytest.raises(APIStatusError) as caught:
            work(client)
        return caught.value

    assert (await with_sdk(caller, run)).status_code == status


async def test_what_is_ignored_stands_in_the_receipt(caller: Caller) -> None:
    body = {"model": MODEL, "input": "[tokens=2]", "truncation": "auto", "x_unknown": 1}
    reply = await caller.post(body, PATH)
    receipt = await caller.receipt(reply.json()["id"])
    assert receipt["ignored_parameters"] == ["x_unknown", "truncation"]
