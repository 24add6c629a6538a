"""What a customer can look up: models, the receipt of every call, and what is left."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import trio

from app.api.credentials import INFERENCE
from app.core.identity import now_us
from app.storage.keys import KeySettings, create_key
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, elsewhere, question
from tests.house import SECRET, add_customer

pytestmark = ON_BOTH

VISION = {
    *("openai/gpt-5.4-pro", "openai/gpt-5.4", "openai/gpt-5.4-mini", "openai/gpt-5.4-nano"),
    *("anthropic/claude-opus-4.6", "anthropic/claude-sonnet-4.6", "anthropic/claude-haiku-4.5"),
    *("google/gemini-3.1-pro-preview", "google/gemini-3-flash-preview", "google/gemini-3.5-flash"),
    *("google/gemini-3.1-flash-lite", "x-ai/grok-4.20", "qwen/qwen3.5-plus", "qwen/qwen3.5-flash", "kimi-k2.5"),
    *("kimi-k2.6", "kimi-k2.7-code", "gemma-4-26b-a4b-it", "mistral-small-3.1", "mistralai/mistral-small-2603"),
    *("auto", "openrouter/auto"),
}
WINDOWS = {
    **dict.fromkeys(("openai/gpt-5.4", "anthropic/claude-opus-4.6", "google/gemini-3.5-flash"), 1_048_576),
    **dict.fromkeys(("nemotron-3-super", "openai/gpt-5.4-pro"), 1_048_576),
    **dict.fromkeys(("x-ai/grok-4.20", "qwen/qwen3.5-plus", "kimi-k2.5", "kimi-k2.5-fast", "glm-5.2"), 262_144),
    **dict.fromkeys(("sarvam-105b", "gpt-oss-120b", "glm-4.7-flash", "mistralai/mistral-small-2603"), 131_072),
    "sarvam-30b": 65_536,
}
ENTRY = {
    *("id", "object", "created", "owned_by", "name", "description", "category", "context_window", "context_length"),
    *("free", "supports_streaming", "supports_tools", "supports_reasoning", "supports_vision", "status", "aliases"),
    "pricing",
}
RECEIPT = {
    *("id", "model", "provider_name", "created_at", "streamed", "cancelled", "finish_reason", "tokens_prompt"),
    *("tokens_completion", "native_tokens_reasoning", "native_tokens_cached", "latency", "generation_time"),
    *("total_cost", "credits", "attempts", "api_key_id", "settlement_basis", "settlement_rule", "request_id"),
    *("ignored_parameters", "dropped_parameters", "sdk_retries", "uncollected", "hold", "prices"),
}


async def test_the_model_list_has_every_field_and_both_names_of_the_window(caller: Caller) -> None:
    listed = (await caller.http.get("/v1/models")).json()
    assert listed["object"] == "list"
    entries = {entry["id"]: entry for entry in listed["data"]}
    assert all(entry.keys() == ENTRY for entry in entries.values())
    assert all(entry["context_window"] == entry["context_length"] for entry in entries.values())
    assert {name: entries[name]["context_window"] for name in WINDOWS} == WINDOWS
    assert all(entries[name]["supports_vision"] for name in VISION)
    assert entries["anthropic/claude-sonnet-4.6"]["pricing"] == {
        **{"input": 4.0, "output": 20.0, "unit": "per_million_tokens", "currency": "USD"}
    }
    assert entries["openrouter/auto"]["pricing"] is None


async def test_the_flag_in_the_list_is_the_flag_of_the_guard(caller: Caller) -> None:
    entries = (await caller.http.get("/v1/models")).json()["data"]
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    for entry in entries:
        if entry["category"] == "llm" and entry["status"] == "active":
            body = {"model": entry["id"], "max_tokens": 1, "messages": [{"role": "user", "content": image}]}
            assert ((await caller.post(body)).status_code == 200) == entry["supports_vision"], entry["id"]


async def test_one_model_is_found_by_any_of_its_names(caller: Caller) -> None:
    for name in ("openai/gpt-5.4", "gpt-5.4", "GPT-5.4", "openai%2Fgpt-5.4"):
        assert (await caller.http.get(f"/v1/models/{name}")).json()["id"] == "openai/gpt-5.4"
    for name in ("nope", "search:exa", "gpt-4o-transcribe", "openai/"):
        reply = await caller.http.get(f"/v1/models/{name}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found"), name


async def test_the_catalog_is_public_and_filtered_on_request(caller: Caller) -> None:
    async def ids(**query: str) -> set[str]:
        reply = await caller.http.get("/api/v1/models", params=query, headers={"authorization": ""})
        assert reply.status_code == 200, reply.text
        return {entry["id"] for entry in reply.json()["data"]}

    listed = {entry["id"] for entry in (await caller.http.get("/v1/models")).json()["data"]}
    assert await ids() == listed
    assert await ids(free="true") | await ids(free="false") == listed
    assert await ids(free="true") < listed
    assert "bulbul:v3" in await ids(category="tts")
    assert "kimi-k2.6" not in await ids(category="tts")
    one = await caller.http.get("/api/v1/models/openai/gpt-5.4", headers={"authorization": ""})
    assert (one.status_code, one.json()["id"]) == (200, "openai/gpt-5.4")
    for query in ({"category": "poems"}, {"free": "maybe"}):
        refused = await caller.http.get("/api/v1/models", params=query)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, next(iter(query)))


async def test_which_plan_may_call_what_is_public(caller: Caller) -> None:
    reply = await caller.http.get("/api/v1/models/access", headers={"authorization": ""})
    plans = reply.json()["plans"]
    assert plans.keys() == {"free", "starter", "pro", "enterprise"}
    assert "sarvam-30b" in plans["free"]["models"]
    assert "openai/gpt-5.4" in plans["starter"]["by_category"]["llm"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_receipt_tells_the_whole_story_of_a_call(caller: Caller, stream: bool) -> None:
    fields: dict[str, Any] = {"top_k": 5, "typo": 1, "reasoning_effort": "high"}
    text = "[tokens=6] [reasoning=4] [cached=3]"
    if stream:
        events = await caller.events(text, "kimi-k2.6", stream_options={"include_usage": True}, **fields)
        call_id, usage = events[0].data["id"], events[-2].data["usage"]
    else:
        body = (await caller.chat(text, "kimi-k2.6", **fields)).json()
        call_id, usage = body["id"], body["usage"]
    receipt = await caller.receipt(call_id)
    assert receipt.keys() >= RECEIPT
    told = {
        "id": call_id,
        "model": "kimi-k2.6",
        "provider_name": "cloudflare",
        "streamed": stream,
        "cancelled": False,
        "finish_reason": "stop",
        "tokens_prompt": usage["prompt_tokens"],
        "tokens_completion": 10,
        "native_tokens_reasoning": 4,
        "native_tokens_cached": 3,
        "settlement_basis": "provider_usage",
        "ignored_parameters": ["typo"],
        "dropped_parameters": ["top_k"],
        "sdk_retries": 0,
        "uncollected": 0,
        "api_key_id": caller.house.customer.key_id,
    }
    assert {name: receipt[name] for name in told} == told
    usd = (usage["prompt_tokens"] * 1.28 + usage["completion_tokens"] * 5.40) / 1_000_000
    assert receipt["credits"] == pytest.approx(usd * 100, abs=1e-6)
    assert receipt["total_cost"] == pytest.approx(usd, abs=1e-8)
    (attempt,) = receipt["attempts"]
    assert (attempt["provider"], attempt["status"]) == ("cloudflare", 200)
    assert 0 <= attempt["ms"] <= receipt["generation_time"]
    assert 0 <= receipt["latency"] <= receipt["generation_time"]
    created = datetime.datetime.fromisoformat(receipt["created_at"])
    assert abs((datetime.datetime.now(datetime.UTC) - created).total_seconds()) < 60


async def test_what_a_receipt_says_left_the_balance(caller: Caller) -> None:
    before = (await caller.http.get("/v1/credits")).json()["balance"]
    charged = 0.0
    for text in ("[tokens=3]", "[mock=no_usage] [tokens=30]", "[mock=usage_zero]", "[tokens=100]"):
        charged += (await caller.receipt((await caller.chat(text)).json()["id"]))["credits"]
    shown = (await caller.http.get("/v1/credits")).json()
    assert shown["balance"] == pytest.approx(before - charged, abs=1e-6)
    assert (shown["held"], shown["available"]) == (0, shown["balance"])


async def test_what_is_held_by_a_running_call_is_shown_as_not_available(caller: Caller) -> None:
    async with caller.stream(question("[mock=hang_mid]", "openai/gpt-5.4")) as stream:
        await anext(aiter(stream))
        shown = (await caller.http.get("/v1/credits")).json()
        assert shown["held"] > 0
        assert shown["available"] == pytest.approx(shown["balance"] - shown["held"], abs=1e-6)
    assert (await caller.settled()).held == 0


async def test_a_call_that_was_hung_up_has_its_receipt_too(caller: Caller) -> None:
    async with caller.stream(question("[tag=left] [mock=hang_mid]")) as stream:
        async for event in stream:
            if event.delta.get("content"):
                break
    with trio.fail_after(2):
        await caller.house.book.ended("left")
    await caller.settled()
    receipt = await caller.receipt(event.data["id"])
    assert receipt["cancelled"] is True
    assert receipt["settlement_rule"] in ("B3", "B4")
    assert receipt["credits"] > 0


async def test_anothers_receipt_is_missing_in_the_same_words_as_one_that_never_was(caller: Caller) -> None:
    mine = (await caller.chat("[tokens=1]")).json()["id"]
    other = elsewhere(caller.house, lambda db: add_customer(db, "Other"))

    async def look(call_id: str) -> tuple[int, bytes]:
        headers = {"authorization": f"Bearer {other.key}"}
        reply = await caller.http.get("/v1/generation", params={"id": call_id}, headers=headers)
        return reply.status_code, reply.content

    missing = "chatcmpl-" + "0" * 26
    assert await look(mine) == await look(missing) == await look("' OR 1=1 --") == await look("\0")
    assert (await look(mine))[0] == 404
    assert (await caller.receipt(mine))["id"] == mine


async def test_another_key_of_the_same_tenant_may_read_the_receipt(caller: Caller) -> None:
    mine = (await caller.chat("[tokens=1]")).json()["id"]
    tenant = caller.house.customer.tenant_id
    second = elsewhere(
        caller.house, lambda db: create_key(db, tenant, SECRET.encode(), KeySettings("second"), now_us())[1]
    )
    reply = await caller.http.get("/v1/generation", params={"id": mine}, headers={"authorization": f"Bearer {second}"})
    assert reply.json()["data"]["api_key_id"] == caller.house.customer.key_id


@pytest.mark.parametrize("permission", INFERENCE)
async def test_a_key_that_may_call_anything_may_read_its_tenants_receipts(caller: Caller, permission: str) -> None:
    """Decided: spec.md 2.2 names `llm` alone, and a key for speech could then not read what its own calls cost."""
    mine = (await caller.chat("[tokens=1]")).json()["id"]
    assert (await look_with(caller, permission, mine))[0] == 200


@pytest.mark.parametrize("permissions", ["", "nothing", "LLM"])
async def test_a_key_that_may_call_nothing_is_told_what_a_receipt_needs(caller: Caller, permissions: str) -> None:
    mine = (await caller.chat("[tokens=1]")).json()["id"]
    status, error = await look_with(caller, permissions, mine)
    assert (status, error["error"]["code"]) == (403, "permission_denied")
    assert error["error"]["message"] == "API key missing required permission: llm or stt or tts or search or image"


async def look_with(caller: Caller, permissions: str, call_id: str) -> tuple[int, Any]:
    """What a second key of the tenant with these permissions is answered."""
    settings, tenant = KeySettings("narrow", permissions=permissions), caller.house.customer.tenant_id
    _, key = elsewhere(caller.house, lambda db: create_key(db, tenant, SECRET.encode(), settings, now_us()))
    headers = {"authorization": f"Bearer {key}"}
    reply = await caller.http.get("/v1/generation", params={"id": call_id}, headers=headers)
    return reply.status_code, reply.json()
