"""POST /v1/search over the real server: results in one form, fallback, money, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.e2e.calling import Caller, Json, elsewhere, open_caller
from tests.house import add_customer

SEARCH = "/v1/search"
CREDIT = 1_000_000


async def search(caller: Caller, query: str = "what is trio", **fields: Any) -> Json:
    reply = await caller.post({"query": query, **fields}, SEARCH)
    assert reply.status_code == 200, reply.text
    body: Json = reply.json()
    return body


def asked(caller: Caller) -> list[str]:
    return [record.dialect for record in caller.upstream()]


async def test_an_answer_has_the_published_form_and_costs_one_credit(caller: Caller) -> None:
    before = caller.books().balance
    reply = await caller.post({"query": "what is trio", "mode": "shorter", "num_results": 3}, SEARCH)
    body = reply.json()
    assert body["results"][0] == {
        "title": "Result 1 & more",
        "url": "https://example1.com/page/1",
        "snippet": "About it, 1.",
        "content": None,
        "published_date": "2026-04-10T00:00:00.000Z",
        "score": None,
        "source": "example1.com",
    }
    assert (body["query"], body["mode"], body["provider"]) == ("what is trio", "shorter", "serper")
    assert (len(body["results"]), body["answer"], body["images"]) == (3, "42", None)
    assert (body["credits_used"], body["balance"]) == (1, (before - CREDIT) / CREDIT)
    assert reply.headers["x-credits-balance"] == f"{(before - CREDIT) / CREDIT:.6f}"
    assert body["request_id"].startswith("search-")
    assert isinstance(body["latency_ms"], int)
    assert caller.books().balance == before - CREDIT


async def test_the_request_id_finds_the_receipt(caller: Caller) -> None:
    receipt = await caller.receipt((await search(caller))["request_id"])
    assert (receipt["endpoint"], receipt["provider_name"], receipt["credits"]) == (SEARCH, "serper", 1)
    assert (receipt["settlement_basis"], receipt["settlement_rule"]) == ("provider_usage", "B17")
    assert receipt["prices"] == {"price": 0.01, "unit": "per_search"}
    assert receipt["units"] == {"searches": 1}


@pytest.mark.parametrize("provider", ["serper", "exa", "tavily", "brave", "searxng"])
async def test_every_provider_answers_when_it_is_named(caller: Caller, provider: str) -> None:
    body = await search(caller, provider=provider, mode="shorter", num_results=2, include_content=True)
    assert (body["provider"], len(body["results"])) == (provider, 2)
    has_text = body["results"][0]["content"] is not None
    assert has_text == (provider in ("exa", "tavily"))
    assert asked(caller) == [provider]


@pytest.mark.parametrize(
    "fault", ["500", "429", "401", "402", "invalid_json_body", "html_500", "error_200", "close_before_body", "eof_mid"]
)
async def test_another_provider_answers_when_the_first_fails(caller: Caller, fault: str) -> None:
    body = await search(caller, f"trio [mock={fault}@serper]")
    assert (body["provider"], body["credits_used"]) == ("brave", 1)
    assert asked(caller) == ["serper", "brave"]
    receipt = await caller.receipt(body["request_id"])
    assert [one["provider"] for one in receipt["attempts"]] == ["serper", "brave"]
    assert receipt["requested_model"] == "search:serper"
    assert caller.books().charged == CREDIT


async def test_a_provider_that_hangs_is_given_up_for_the_next(database_url: str) -> None:
    async with open_caller(database_url, search_deadline_s=0.3) as caller:
        with trio.fail_after(3):
            body = await search(caller, "trio [mock=hang_headers@serper]")
        assert (body["provider"], caller.books().charged) == ("brave", CREDIT)


async def test_nothing_found_is_an_answer(caller: Caller) -> None:
    body = await search(caller, "trio [mock=empty_answer]")
    assert (body["results"], body["answer"], body["credits_used"]) == ([], None, 1)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("500", 502, "upstream_error"),
        ("invalid_json_body", 502, "upstream_error"),
        ("429", 429, "rate_limit_exceeded"),
        ("401", 503, "provider_error"),
        ("429@serper] [mock=500@brave] [mock=429@tavily", 502, "upstream_error"),
    ],
)
async def test_three_failures_are_the_end_and_are_free(caller: Caller, fault: str, status: int, code: str) -> None:
    reply = await caller.post({"query": f"trio [mock={fault}]"}, SEARCH)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert status != 429 or "retry-after" in reply.headers
    assert asked(caller) == ["serper", "brave", "tavily"]
    assert caller.books().charged == 0


async def test_a_refused_request_is_final_and_free(caller: Caller) -> None:
    reply = await caller.post({"query": "trio [mock=bad_request]"}, SEARCH)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request_error")
    assert (asked(caller), caller.books().charged) == (["serper"], 0)


async def test_a_prohibited_query_is_told_as_such(caller: Caller) -> None:
    reply = await caller.post({"query": "trio [mock=content_policy]", "provider": "exa"}, SEARCH)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")


async def test_a_provider_without_credentials_is_missed_only_when_it_is_named(database_url: str) -> None:
    async with open_caller(database_url, exa_api_key="") as caller:
        assert (await search(caller, mode="detailed"))["provider"] == "tavily"
        reply = await caller.post({"query": "trio", "provider": "exa"}, SEARCH)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "provider_error")
        assert asked(caller) == ["tavily"]


async def test_a_key_limited_to_some_providers_asks_no_other(caller: Caller) -> None:
    limited = elsewhere(caller.house, lambda db: add_customer(db, "Limited", allowed_search_providers="exa, google"))
    caller.http.headers["authorization"] = f"Bearer {limited.key}"
    reply = await caller.post({"query": "trio", "provider": "brave"}, SEARCH)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (403, "search_provider_not_allowed", "provider")
    assert asked(caller) == []
    assert (await search(caller, "trio [mock=500@serper]"))["provider"] == "exa"
    assert asked(caller) == ["serper", "exa"]


async def test_the_last_credit_buys_the_last_search(database_url: str) -> None:
    async with open_caller(database_url, customer={"credit_ucr": CREDIT}) as caller:
        assert (await search(caller))["balance"] == 0
        reply = await caller.post({"query": "trio"}, SEARCH)
        assert (reply.status_code, reply.headers["x-credits-balance"]) == (402, "0.000000")
        assert len(asked(caller)) == 1


async def test_searches_stand_under_no_monthly_cap(database_url: str) -> None:
    async with open_caller(database_url, customer={"plan": "free"}) as caller:
        reply = await caller.post({"query": "trio"}, SEARCH)
        assert reply.status_code == 200
        assert "x-ratelimit-limit" not in reply.headers
        assert reply.headers["x-ratelimit-limit-requests"] == "60"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"query": 5}', b'{"query": "a", "num_results": 99}', b"{}"])
async def test_a_bad_request_is_refused_before_anybody_is_asked(caller: Caller, body: bytes) -> None:
    reply = await caller.post(body, SEARCH)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request_error")
    assert (asked(caller), caller.books().calls) == ([], 0)
