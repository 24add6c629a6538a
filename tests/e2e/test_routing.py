"""Which model a name means, what its provider is sent and what that costs: routers, passthrough, local, efforts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx2
import msgspec
import pytest
import trio

from app.usecases import models
from catalog.catalog import Catalog
from scripts.simulator import server as simulator
from scripts.simulator.book import Book
from tests.e2e.calling import Caller, Json, credits_for, elsewhere, open_caller, until
from tests.providers.peer import Act, Line, open_peer


async def once_listed(caller: Caller, text: str, model: str) -> httpx2.Response:
    """The answer once the upstream's own model list has been read."""
    replies: list[httpx2.Response] = []

    async def known() -> bool:
        replies.append(await caller.chat(text, model))
        return replies[-1].status_code != 404

    await until(known)
    return replies[-1]


async def test_auto_is_the_free_router_at_its_own_price(caller: Caller) -> None:
    body, receipt = await caller.served("auto")
    (record,) = caller.upstream("served")
    assert (record.dialect, record.model) == ("openrouter", "openrouter/free")
    assert receipt["credits"] == credits_for(body["usage"], 0.30, 0.50)


async def test_a_pick_outside_the_catalog_is_billed_at_what_the_router_charged(caller: Caller) -> None:
    body, receipt = await caller.served("openrouter/auto")
    exact = credits_for(body["usage"], 0.5, 1.5)
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
        _, receipt = await caller.served("openrouter/auto")
        assert receipt["credits"] == credits_for(USAGE, 5.00, 30.00)


async def test_a_pick_of_the_catalog_is_billed_at_its_price_and_named_where_it_can_be(tmp_path: Path) -> None:
    async with (
        open_peer(router("openai/gpt-5.4-mini", 0.5)) as peer,
        open_caller(tmp_path, openrouter_base_url=peer.url) as caller,
    ):
        body, receipt = await caller.served("openrouter/auto")
        assert body["model"] == "openai/gpt-5.4-mini"
        assert receipt["credits"] == credits_for(USAGE, 1.00, 6.00)
        events = await caller.events("hi", "openrouter/auto")
        assert {event.data["model"] for event in events[:-1]} == {"openrouter/auto"}


@pytest.mark.parametrize(("suffix", "sort"), [(":nitro", "throughput"), (":floor", "price")])
async def test_a_suffix_sorts_the_upstreams_providers(caller: Caller, suffix: str, sort: str) -> None:
    body, _ = await caller.served("openai/gpt-5.4" + suffix)
    (record,) = caller.upstream("served")
    assert record.body["provider"] == {"sort": sort}
    assert (record.model, body["model"]) == ("openai/gpt-5.4", "openai/gpt-5.4")


async def test_frontier_parameters_reach_the_frontier_upstream_in_its_spelling(caller: Caller) -> None:
    _, receipt = await caller.served(
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
    reply = await once_listed(caller, "[tag=through] [tokens=5]", "mock/noisy_headers")
    assert reply.status_code == 200
    assert reply.json()["model"] == "mock/noisy_headers"
    receipt = await caller.receipt(reply.json()["id"])
    assert receipt["credits"] == credits_for(reply.json()["usage"], 0.5, 1.5)
    assert [record.model for record in caller.upstream("through")] == ["mock/noisy_headers"]
    assert (await caller.chat("hi", "mock/not-listed")).json()["error"]["code"] == "model_not_found"


async def test_a_slash_id_outside_the_catalog_is_not_for_the_free_plan(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"plan": "free"}) as caller:
        reply = await once_listed(caller, "hi", "mock/noisy_headers")
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_not_available")


async def test_models_of_the_installations_own_server_are_free_and_stay_there(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        book = Book()
        url = await nursery.start(partial(simulator.serve, book=book))
        async with open_caller(tmp_path, customer={"plan": "free"}, self_hosted_base_url=f"{url}/local/v1") as caller:
            reply = await once_listed(caller, "[tokens=5]", "local/simulated-small")
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
    body, receipt = await caller.served(None)
    assert body["model"] == "kimi-k2.5-fast"
    assert receipt["provider_name"] == "fast"


async def test_a_price_that_was_seeded_while_the_gateway_runs_holds_for_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "RELOAD_S", 0.02)
    async with open_caller(tmp_path) as caller:
        body, receipt = await caller.served("kimi-k2.6")
        assert receipt["credits"] == credits_for(body["usage"], 1.28, 5.40)
        catalog = Catalog.load()
        documents = catalog.documents()
        documents["kimi-k2.6"]["price"] = {"unit": "tokens", "input": "2.56", "output": "10.80"}
        dearer = Catalog.from_documents(documents.values(), catalog.rates.document(), catalog.plan_documents())
        elsewhere(caller.house, lambda db: models.seed(db, dearer))

        async def reloaded() -> bool:
            return bool((await caller.http.get("/v1/models/kimi-k2.6")).json()["pricing"]["input"] == 2.56)

        await until(reloaded)
        body, receipt = await caller.served("kimi-k2.6")
        assert receipt["credits"] == credits_for(body["usage"], 2.56, 10.80)
