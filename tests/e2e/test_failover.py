"""What happens when a provider cannot serve: the next route, the `models` list, the breaker, the retry budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.e2e.calling import NO_FAST, Caller, credits_for, open_caller, question

NO_SARVAM: Final[dict[str, Any]] = {"sarvam_base_url": "http://127.0.0.1:9"}


async def test_a_model_with_two_routes_is_answered_by_the_second_when_the_first_is_away(tmp_path: Path) -> None:
    async with open_caller(tmp_path, **NO_FAST) as caller:
        reply = await caller.chat("[tag=over] [tokens=5]", "kimi-k2.5-fast")
        assert (reply.status_code, reply.json()["model"]) == (200, "kimi-k2.5-fast")
        assert (reply.headers["x-cm-provider"], reply.headers["x-cm-attempts"]) == ("cloudflare", "2")
        (record,) = caller.upstream("over")
        assert (record.dialect, record.model) == ("cloudflare", "@cf/moonshotai/kimi-k2.5")
        receipt = await caller.receipt(reply.json()["id"])
        assert [(one["provider"], one["code"]) for one in receipt["attempts"]] == [
            *(("fast", "provider_error"), ("cloudflare", None)),
        ]
        assert receipt["provider_name"] == "cloudflare"


async def test_the_first_route_answers_when_it_can(caller: Caller) -> None:
    reply = await caller.chat("[tag=first] [tokens=5]", "kimi-k2.5-fast")
    assert (reply.headers["x-cm-provider"], reply.headers["x-cm-attempts"]) == ("fast", "1")
    assert [record.model for record in caller.upstream("first")] == ["moonshotai/Kimi-K2_5"]


async def test_the_models_list_is_tried_in_order_and_billed_at_the_rate_of_the_one_that_answers(tmp_path: Path) -> None:
    async with open_caller(tmp_path, **NO_SARVAM) as caller:
        others = ["sarvam-105b", "nope", "sarvam-30b", "gpt-5.4", "kimi-k2.6"]
        body, receipt = await caller.served("sarvam-30b", models=others)
        assert body["model"] == receipt["model"] == "openai/gpt-5.4"
        assert receipt["requested_model"] == "sarvam-30b"
        assert [one["model"] for one in receipt["attempts"]] == ["sarvam-30b", "sarvam-105b", "openai/gpt-5.4"]
        assert receipt["credits"] == credits_for(body["usage"], 3.50, 20.00)
        assert receipt["prices"] == {"input": 3.5, "output": 20.0}


async def test_a_stream_with_a_models_list_names_the_model_that_answers(tmp_path: Path) -> None:
    async with (
        open_caller(tmp_path, **NO_SARVAM, first_byte_grace_s=0.01) as caller,
        caller.stream(question("[tokens=3]", "sarvam-30b", models=["gpt-5.4"])) as stream,
    ):
        events = await stream.events()
        assert {event.data["model"] for event in events[:-1]} == {"openai/gpt-5.4"}
        assert dict(stream.headers)["x-cm-provider"] == "openrouter"


async def test_without_a_models_list_no_other_model_answers(tmp_path: Path) -> None:
    async with open_caller(tmp_path, **NO_SARVAM) as caller:
        assert (await caller.chat("hi", "sarvam-30b")).status_code == 503
        assert caller.upstream() == []


async def test_models_of_the_list_that_may_not_serve_are_skipped(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    customer = {"allowed_models": "kimi-k2.6,sarvam-105b,openai/gpt-5.4-mini"}
    async with open_caller(tmp_path, customer=customer, cloudflare_base_url="http://127.0.0.1:9/client/v4") as caller:
        body = question("", models=["sarvam-105b", "openai/gpt-5.4", "gpt-5.4-mini"])
        body["messages"][0]["content"] = [{"type": "text", "text": "[tokens=2]"}, image]
        assert (await caller.post(body)).json()["model"] == "openai/gpt-5.4-mini"


@pytest.mark.parametrize("trigger", ["bad_request", "content_policy"])
async def test_a_refusal_of_the_request_itself_is_not_taken_elsewhere(caller: Caller, trigger: str) -> None:
    reply = await caller.chat(f"[tag=refused] [mock={trigger}]", "sarvam-30b", models=["gpt-5.4"])
    assert reply.status_code == 400
    assert len(caller.upstream("refused")) == 1


async def test_with_tools_the_models_list_is_left_aside_and_the_receipt_says_so(caller: Caller) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    _, receipt = await caller.served("kimi-k2.6", models=["gpt-5.4"], tools=tools)
    assert receipt["ignored_parameters"] == ["models"]


async def test_a_hundred_bad_requests_leave_the_breaker_shut(caller: Caller) -> None:
    async def ask() -> None:
        assert (await caller.chat("[tag=poison] [mock=bad_request]")).status_code == 400

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
    assert len(caller.upstream("poison")) == 100
    assert (await caller.chat("[tokens=1]")).status_code == 200


async def test_five_faults_open_the_breaker_of_one_model_and_spare_the_others(caller: Caller) -> None:
    for _ in range(5):
        assert (await caller.chat("[tag=fault] [mock=5xx]")).status_code in (502, 503)
    assert len(caller.upstream("fault")) == 5
    reply = await caller.chat("[tag=well]")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "provider_error")
    assert 0 < int(reply.headers["retry-after"]) <= 15
    assert caller.upstream("well") == []
    assert (await caller.chat("[tokens=1]", "glm-5.2")).status_code == 200
    assert (await caller.settled()).charged > 0


async def test_an_open_breaker_sends_the_call_straight_to_the_next_route(tmp_path: Path) -> None:
    async with open_caller(tmp_path, **NO_FAST) as caller:
        for _ in range(5):
            assert (await caller.chat("[tokens=1]", "kimi-k2.5-fast")).headers["x-cm-attempts"] == "2"
        reply = await caller.chat("[tokens=1]", "kimi-k2.5-fast")
        assert (reply.status_code, reply.headers["x-cm-attempts"]) == (200, "1")


async def test_a_throttled_provider_is_not_hammered(caller: Caller) -> None:
    statuses: list[tuple[int, bool]] = []

    async def ask() -> None:
        reply = await caller.chat("[tag=throttled] [mock=429]")
        statuses.append((reply.status_code, "retry-after" in reply.headers))

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
    assert len(caller.upstream("throttled")) <= 110
    assert {status for status, _ in statuses} <= {429, 503}
    assert all(told for _, told in statuses)
