"""Which provider answers, what it is sent, and what that costs: routes, fallbacks, routers, passthrough, breaker."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from app.usecases import models
from catalog.catalog import Catalog
from scripts.simulator import server as simulator
from scripts.simulator.book import Book
from tests.e2e.calling import NO_FAST, Caller, Json, elsewhere, open_caller, question
from tests.providers.peer import Act, Line, open_peer

NO_SARVAM: dict[str, Any] = {"sarvam_base_url": "http://127.0.0.1:9"}


def credits_for(usage: Json, input_usd: float, output_usd: float) -> Any:
    """What the usage costs at prices per million tokens, to the sixth decimal, rounded up."""
    usd = (usage["prompt_tokens"] * input_usd + usage["completion_tokens"] * output_usd) / 1_000_000
    return pytest.approx(usd * 100, abs=1.01e-6)


async def served(caller: Caller, model: str | None, **fields: Any) -> tuple[Json, Json]:
    """The body of a good answer and its receipt."""
    reply = await caller.chat("[tag=served] [tokens=5]", model, **fields)
    assert reply.status_code == 200, reply.text
    return reply.json(), await caller.receipt(reply.json()["id"])


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
        body, receipt = await served(caller, "sarvam-30b", models=others)
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
    _, receipt = await served(caller, "kimi-k2.6", models=["gpt-5.4"], tools=tools)
    assert receipt["ignored_parameters"] == ["models"]


async def test_auto_is_the_free_router_at_its_own_price(caller: Caller) -> None:
    body, receipt = await served(caller, "auto")
    (record,) = caller.upstream("served")
    assert (record.dialect, record.model) == ("openrouter", "openrouter/free")
    assert receipt["credits"] == credits_for(body["usage"], 0.30, 0.50)


async def test_a_pick_outside_the_catalog_is_billed_at_what_the_router_charged(caller: Caller) -> None:
    body, receipt = await served(caller, "openrouter/auto")
    exact = credits_for(body["usage"], 0.5, 1.5).expected
    assert 0 <= receipt["credits"] - exact < 0.0001, "rounded up to a whole micro-dollar"


USAGE: Json = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def router(model: str, cost: object) -> Act:
    """An upstream router that picks `model` and says what that cost it."""

    async def act(line: Line) -> None:
        while True:
            await line.request()
            first = {"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
            picked = {"id": "gen-1", "model": model, "choices": [first], "usage": {**USAGE, "cost": cost}}
            data = b"data: " + msgspec.json.encode(picked) + b"\n\ndata: [DONE]\n\n"
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(data)}\r\n\r\n"
            await line.send(head.encode() + data)

    return act


@pytest.mark.parametrize("cost", [-1, 1e300, "0.1", None])
async def test_a_cost_that_makes_no_sense_is_not_believed(tmp_path: Path, cost: object) -> None:
    async with (
        open_peer(router("someone/unheard-of", cost)) as peer,
        open_caller(tmp_path, openrouter_base_url=peer.url) as caller,
    ):
        _, receipt = await served(caller, "openrouter/auto")
        assert receipt["credits"] == credits_for(USAGE, 5.00, 30.00)


async def test_a_pick_of_the_catalog_is_billed_at_its_price_and_named_where_it_can_be(tmp_path: Path) -> None:
    async with (
        open_peer(router("openai/gpt-5.4-mini", 0.5)) as peer,
        open_caller(tmp_path, openrouter_base_url=peer.url) as caller,
    ):
        body, receipt = await served(caller, "openrouter/auto")
        assert body["model"] == "openai/gpt-5.4-mini"
        assert receipt["credits"] == credits_for(USAGE, 1.00, 6.00)
        events = await caller.events("hi", "openrouter/auto")
        assert {event.data["model"] for event in events[:-1]} == {"openrouter/auto"}


@pytest.mark.parametrize(("suffix", "sort"), [(":nitro", "throughput"), (":floor", "price")])
async def test_a_suffix_sorts_the_upstreams_providers(caller: Caller, suffix: str, sort: str) -> None:
    body, _ = await served(caller, "openai/gpt-5.4" + suffix)
    (record,) = caller.upstream("served")
    assert record.body["provider"] == {"sort": sort}
    assert (record.model, body["model"]) == ("openai/gpt-5.4", "openai/gpt-5.4")


async def test_frontier_parameters_reach_the_frontier_upstream_in_its_spelling(caller: Caller) -> None:
    _, receipt = await served(
        caller,
        "openai/gpt-5.4",
        provider={"only": ["openai"], "max_price": {"input": 5, "output": 30}},
        plugins=["web", {"id": "file-parser", "pdf": {"engine": "native"}}],
        transforms=["middle-out"],
        reasoning={"effort": "high"},
        route="fallback",
    )
    sent = caller.upstream("served")[0].body
    assert sent["provider"] == {"only": ["openai"], "max_price": {"prompt": 5, "completion": 30}}
    assert [plugin["id"] for plugin in sent["plugins"]] == ["web", "file-parser", "context-compression"]
    assert sent["reasoning"] == {"effort": "high"}
    assert not {"models", "route", "transforms"} & sent.keys()
    assert receipt["credits"] > 1.0, "the price of one search is in it"


async def test_a_slash_id_outside_the_catalog_is_passed_through_at_the_list_price(caller: Caller) -> None:
    with trio.fail_after(3):
        while (reply := await caller.chat("[tag=through] [tokens=5]", "mock/noisy_headers")).status_code == 404:
            await trio.sleep(0.02)
    assert reply.status_code == 200
    assert reply.json()["model"] == "mock/noisy_headers"
    receipt = await caller.receipt(reply.json()["id"])
    assert receipt["credits"] == credits_for(reply.json()["usage"], 0.5, 1.5)
    assert [record.model for record in caller.upstream("through")] == ["mock/noisy_headers"]
    assert (await caller.chat("hi", "mock/not-listed")).json()["error"]["code"] == "model_not_found"


async def test_a_slash_id_outside_the_catalog_is_not_for_the_free_plan(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"plan": "free"}) as caller:
        with trio.fail_after(3):
            while (reply := await caller.chat("hi", "mock/noisy_headers")).status_code == 404:
                await trio.sleep(0.02)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_not_available")


async def test_models_of_the_installations_own_server_are_free_and_stay_there(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        book = Book()
        url = await nursery.start(partial(simulator.serve, book=book))
        async with open_caller(tmp_path, customer={"plan": "free"}, self_hosted_base_url=f"{url}/local/v1") as caller:
            with trio.fail_after(3):
                while (reply := await caller.chat("[tokens=5]", "local/simulated-small")).status_code == 404:
                    await trio.sleep(0.02)
            assert reply.json()["model"] == "local/simulated-small"
            assert reply.headers["x-cm-provider"] == "local"
            assert [record.model for record in book.records() if record.body] == ["simulated-small"]
            receipt = await caller.receipt(reply.json()["id"])
            assert (receipt["credits"], receipt["settlement_basis"]) == (0, "provider_usage")
            listed = {entry["id"]: entry for entry in (await caller.http.get("/v1/models")).json()["data"]}
            assert listed["local/simulated-large"]["free"] is True
            assert (await caller.chat("[mock=5xx]", "local/simulated-small")).status_code == 502
            assert caller.upstream() == []
        nursery.cancel_scope.cancel()


#: The seed's matrix: model -> what is sent for none, minimal, low, medium, high.
EFFORTS = ("none", "minimal", "low", "medium", "high")
OFF_ABLE = ("none", "none", "low", "medium", "high")
LOW_FLOOR = ("low", "low", "low", "medium", "high")
MATRIX: dict[str, tuple[str | None, ...]] = {
    **dict.fromkeys(("kimi-k2.5", "kimi-k2.6", "kimi-k2.7-code", "gemma-4-26b-a4b-it", "kimi-k2.5-fast"), OFF_ABLE),
    **dict.fromkeys(("gpt-oss-120b", "nemotron-3-super", "glm-4.7-flash", "glm-5.2"), LOW_FLOOR),
    **dict.fromkeys(("sarvam-30b", "sarvam-105b"), LOW_FLOOR),
    "mistral-small-3.1": (None,) * 5,
    **dict.fromkeys(("openai/gpt-5.4", "anthropic/claude-sonnet-4.6", "auto"), EFFORTS),
}


@pytest.mark.parametrize("model", MATRIX)
async def test_every_cell_of_the_effort_matrix_holds_at_the_provider(caller: Caller, model: str) -> None:
    for effort, expected in zip(EFFORTS, MATRIX[model], strict=True):
        for fields in ({"reasoning_effort": effort}, {"reasoning": {"effort": effort}}):
            reply = await caller.chat(f"[tag={effort}] [tokens=1]", model, **fields)
            assert reply.status_code == 200, reply.text
            sent = caller.upstream(effort)[-1].body
            found = sent.get("reasoning_effort") or sent.get("reasoning", {}).get("effort")
            assert found == expected, (effort, fields)
            if expected is None:
                assert reply.headers["x-cm-dropped-params"] == ".".join(
                    ["reasoning", "effort"] if "reasoning" in fields else ["reasoning_effort"]
                )


async def test_an_unusual_effort_is_judged_by_the_frontier_model_itself(caller: Caller) -> None:
    reply = await caller.chat("[tag=odd] [tokens=1]", "openai/gpt-5.4", reasoning_effort="xhigh")
    assert reply.status_code == 200
    assert caller.upstream("odd")[0].body["reasoning_effort"] == "xhigh"


async def test_a_request_that_names_no_model_is_served_by_the_default(caller: Caller) -> None:
    body, receipt = await served(caller, None)
    assert body["model"] == "kimi-k2.5-fast"
    assert receipt["provider_name"] == "fast"


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


async def test_a_price_that_was_seeded_while_the_gateway_runs_holds_for_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "RELOAD_S", 0.02)
    async with open_caller(tmp_path) as caller:
        body, receipt = await served(caller, "kimi-k2.6")
        assert receipt["credits"] == credits_for(body["usage"], 1.28, 5.40)
        catalog = Catalog.load()
        documents = catalog.documents()
        documents["kimi-k2.6"]["price"] = {"unit": "tokens", "input": "2.56", "output": "10.80"}
        dearer = Catalog.from_documents(documents.values(), catalog.rates.document(), catalog.plan_documents())
        elsewhere(caller.house, lambda db: models.seed(db, dearer))
        with trio.fail_after(2):
            while (await caller.http.get("/v1/models/kimi-k2.6")).json()["pricing"]["input"] != 2.56:
                await trio.sleep(0.02)
        body, receipt = await served(caller, "kimi-k2.6")
        assert receipt["credits"] == credits_for(body["usage"], 2.56, 10.80)
