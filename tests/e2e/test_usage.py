"""Usage as owners see it over the real server: a line for each call, sums that agree with the books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from app.core.identity import now_us
from app.core.times import DAY_US, iso_time
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, change, elsewhere, open_caller, question
from tests.e2e.managing import open_browser
from tests.e2e.speaking import recording
from tests.e2e.usage_asking import COLUMNS, LOGS, get, lines, make_endings
from tests.house import Customer, add_customer

SUMMARY: Final = "/v1/usage/summary"
pytestmark = ON_BOTH


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": "usage:read"}) as opened:
        yield opened


async def refused(caller: Caller, path: str = LOGS, **query: Any) -> tuple[int, str, str | None]:
    reply = await caller.http.get(path, params=query)
    error = reply.json()["error"]
    return reply.status_code, error["code"], error["param"]


async def test_a_call_is_a_line_with_what_it_used_and_cost(caller: Caller) -> None:
    reply = await caller.post(question("[tokens=5]"), x_session_id="checkout 7", x_trace_id="abc")
    usage, receipt = reply.json()["usage"], await caller.receipt(reply.json()["id"])
    (line,) = await lines(caller)
    assert list(line) == COLUMNS
    assert line == {
        **{"id": reply.json()["id"], "created_at": line["created_at"], "latency_ms": line["latency_ms"]},
        **{"service": "llm", "endpoint": "/v1/chat/completions", "method": "POST", "model": "kimi-k2.6"},
        **{"status_code": 200, "error_message": None, "audio_seconds": None},
        **{"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]},
        **{"cost_usd": receipt["total_cost"], "credits": receipt["credits"]},
        **{"request_id": reply.headers["x-request-id"], "api_key_id": caller.house.customer.key_id},
        **{"trace_id": "abc", "session_id": "checkout 7"},
    }
    assert line["latency_ms"] >= 0


async def test_every_kind_of_call_keeps_its_session_and_says_what_it_used(caller: Caller) -> None:
    marked = {"x-session-id": "all of them"}
    sent: list[tuple[str, Json]] = [
        ("/v1/chat/completions", question("[tokens=2]")),
        ("/v1/chat/completions", question("[tokens=2]", stream=True)),
        ("/v1/responses", {"model": "kimi-k2.6", "input": "[tokens=2]"}),
        ("/v1/messages", question("[tokens=2]", max_tokens=8)),
        ("/v1/embeddings", {"model": "bge-m3", "input": "a lamp"}),
        ("/v1/search", {"query": "what is trio"}),
        ("/v1/images/generations", {"model": "lucid-origin", "prompt": "a lamp"}),
        ("/v1/audio/speech", {"model": "aura-2-en", "input": "Good morning."}),
    ]
    for path, body in sent:
        reply = await caller.http.post(path, json=body, headers=marked)
        assert reply.status_code == 200, reply.text
    files = {"file": ("speech.wav", recording(), "audio/wav")}
    reply = await caller.http.post("/v1/audio/transcriptions", data={"model": "nova-3"}, files=files, headers=marked)
    assert reply.status_code == 200, reply.text
    found = await lines(caller, session_id="all of them")
    assert [line["endpoint"] for line in reversed(found)] == [*(path for path, _ in sent), "/v1/audio/transcriptions"]
    assert {line["session_id"] for line in found} == {"all of them"}
    with_tokens = {line["endpoint"] for line in found if line["input_tokens"]}
    assert with_tokens == {"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"}
    (heard,) = [line for line in found if line["audio_seconds"] is not None]
    assert (heard["service"], heard["audio_seconds"] > 0) == ("stt", True)


async def test_a_mark_that_is_too_long_is_cut_and_found_all_the_same(caller: Caller) -> None:
    long = "s" * 300
    await caller.post(question("[tokens=2]"), x_session_id=long)
    (line,) = await lines(caller, session_id=long)
    assert line["session_id"] == long[:200]
    assert await lines(caller, session_id=long[:199]) == []


async def test_a_mark_may_be_in_any_script(caller: Caller) -> None:
    name = "हिन्दी 🙂"
    headers = [(b"x-session-id", name.encode()), *[(k.encode(), v.encode()) for k, v in caller.house.headers.items()]]
    reply = await caller.http.post("/v1/chat/completions", json=question("[tokens=2]"), headers=headers)
    assert reply.status_code == 200
    assert [line["session_id"] for line in await lines(caller, session_id=name)] == [name]


async def test_a_status_tells_how_a_call_ended_and_finds_it(caller: Caller) -> None:
    await make_endings(caller)
    found = [(line["status_code"], line["error_message"]) for line in await lines(caller)]
    assert found == [(429, "rate_limit_exceeded"), (502, "upstream_error"), (499, None), (200, None)]
    for wish, statuses in (
        *(("success", [200]), ("cancelled", [499]), ("error", [429, 502]), ("running", [])),
        *((200, [200]), (499, [499]), (429, [429]), (502, [502]), (503, [])),
    ):
        assert [line["status_code"] for line in await lines(caller, status=wish)] == statuses, wish


async def test_a_call_under_way_is_a_line_without_a_status_and_is_in_no_sum(caller: Caller) -> None:
    async with caller.stream(question("[tokens=400] [pace=40]")) as stream:
        await stream.__anext__()
        (line,) = await lines(caller, status="running")
        assert [line[name] for name in ("status_code", "latency_ms", "output_tokens", "credits")] == [
            None,
            None,
            None,
            0,
        ]
        assert (await get(caller, SUMMARY))["totals"]["total_requests"] == 0
    await caller.settled()
    assert await lines(caller, status="running") == []


async def test_sums_are_those_of_the_lines_by_every_dimension(caller: Caller) -> None:
    await make_endings(caller)
    await caller.post({"query": "what is trio"}, "/v1/search")
    found, body = await lines(caller), await get(caller, SUMMARY, days=7)
    charged = round(sum(line["credits"] for line in found), 6)
    totals = body["totals"]
    assert [totals[name] for name in ("total_requests", "success", "errors", "cancelled")] == [5, 2, 2, 1]
    assert (totals["success_rate"], totals["total_credits"]) == (0.4, charged)
    assert totals["total_cost_usd"] == pytest.approx(charged / 100)
    assert totals["total_input_tokens"] == sum(line["input_tokens"] or 0 for line in found)
    assert totals["total_output_tokens"] == sum(line["output_tokens"] or 0 for line in found)
    assert totals["avg_latency_ms"] == pytest.approx(sum(line["latency_ms"] for line in found) / 5, abs=1)
    for group, name in (("by_service", "service"), ("by_model", "model"), ("by_key", "api_key_id")):
        counted = {each[name]: each["total_requests"] for each in body[group]}
        assert counted == {
            value: sum(line[name] == value for line in found) for value in {line[name] for line in found}
        }
        assert round(sum(each["total_credits"] for each in body[group]), 6) == charged
    assert [day["requests"] for day in body["series"]] == [0] * 6 + [5]
    assert body["series"][-1]["date"] == found[0]["created_at"][:10]
    assert round(body["series"][-1]["credits"], 6) == charged == caller.books().charged / 1e6


async def test_nothing_was_used_yet(caller: Caller) -> None:
    body = await get(caller, SUMMARY)
    assert (body["period_days"], len(body["series"]), body["by_model"]) == (30, 30, [])
    assert (body["totals"]["success_rate"], body["totals"]["avg_latency_ms"]) == (None, None)
    assert await get(caller) == {"data": [], "next_cursor": None}


async def test_pages_follow_one_another_without_a_gap(caller: Caller) -> None:
    for _ in range(5):
        await caller.chat("[tokens=1]")
    whole = [line["id"] for line in await lines(caller)]
    walked, before = [], None
    while True:
        page = await get(caller, limit=2, **({} if before is None else {"before": before}))
        walked += [line["id"] for line in page["data"]]
        before = page["next_cursor"]
        if before is None:
            break
    assert walked == whole
    assert [line["id"] for line in await lines(caller, limit=2, offset=3)] == whole[3:]
    assert await lines(caller, offset=5) == []


async def test_times_bound_what_is_shown_and_nothing_older_than_90_days_is(caller: Caller) -> None:
    for days in (0, 5, 89, 91):
        reply = await caller.chat("[tokens=1]")
        change(
            caller.house,
            "UPDATE calls SET opened_at = opened_at - ? WHERE id = ?",
            *(days * DAY_US, reply.json()["id"]),
        )
    now = now_us()
    five_days_ago = iso_time(now - 5 * DAY_US - DAY_US // 2)
    assert len(await lines(caller)) == 3
    assert len(await lines(caller, start=iso_time(now - 200 * DAY_US))) == 3
    assert len(await lines(caller, days=6)) == 2
    assert len(await lines(caller, start=five_days_ago)) == 2
    assert len(await lines(caller, end=five_days_ago)) == 1
    assert len(await lines(caller, start=five_days_ago, end=iso_time(now - 4 * DAY_US))) == 1


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(({"days": days}, "days") for days in (0, 91, -1)),
        *(({"limit": limit}, "limit") for limit in (0, 501)),
        *(({"offset": offset}, "offset") for offset in (-1, 10_001)),
        *(({"start": "yesterday"}, "start"), ({"end": "2026-13-01"}, "end"), ({"before": "page 2"}, "before")),
        *(({"service": "fax"}, "service"), ({"status": "odd"}, "status"), ({"status": 42}, "status")),
        *(({"model": "m" * 201}, "model"), ({"session_id": "s" * 2001}, "session_id")),
        ({"start": "2026-02-01", "end": "2026-01-01"}, "start"),
    ],
)
async def test_a_query_that_cannot_be_is_refused_by_name(caller: Caller, query: Json, param: str) -> None:
    status, code, named = await refused(caller, LOGS, **query)
    assert (status, code, named) == (400, "invalid_value", param)


async def test_any_text_may_be_looked_for(caller: Caller) -> None:
    await caller.chat("[tokens=1]")
    for odd in ("'; DROP TABLE calls; --", "%", "\0", "a\0b", "🙂", "'\"\\"):
        for name in ("model", "api_key_id", "session_id", "trace_id"):
            assert await lines(caller, **{name: odd}) == [], (name, odd)


async def test_both_paths_answer_alike_to_keys_and_members(caller: Caller) -> None:
    await caller.chat("[tokens=1]")
    async with open_browser(caller.house, "admin") as admin, open_browser(caller.house, "agent") as agent:
        for what in ("summary", "logs", "logs.csv"):
            asked = [
                await who.get(f"{base}/usage/{what}") for who in (caller.http, admin) for base in ("/v1", "/api/v1")
            ]
            assert {reply.status_code for reply in asked} == {200}
            assert len({reply.content for reply in asked}) == 1, what
            refusal = await agent.get(f"/api/v1/usage/{what}")
            assert (refusal.status_code, refusal.json()["error"]["code"]) == (403, "role_required")


async def test_an_organisation_sees_its_own_calls_and_no_others(caller: Caller) -> None:
    await caller.chat("[tokens=1]")
    mine = await lines(caller)

    def add(db: Any) -> Customer:
        return add_customer(db, "Bolt", scopes="*")

    other = elsewhere(caller.house, add)
    headers = {"authorization": f"Bearer {other.key}"}
    for query in ({}, {"api_key_id": mine[0]["api_key_id"]}, {"model": mine[0]["model"]}):
        reply = await caller.http.get(LOGS, params=query, headers=headers)
        assert reply.json() == {"data": [], "next_cursor": None}
    assert (await caller.http.get(SUMMARY, headers=headers)).json()["totals"]["total_requests"] == 0
