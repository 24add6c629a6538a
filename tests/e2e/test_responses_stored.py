"""Stored responses over HTTP: read back, resumed byte by byte, listed, deleted, and never another tenant's."""

from __future__ import annotations

from typing import Any, Final

import httpx2
import pytest
from openai import OpenAI

from app.core.identity import now_us
from app.storage import responses as stored
from app.usecases.responses import KEEP_US
from tests.core.responses_order import check, events
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, change, elsewhere, open_caller
from tests.e2e.test_openai_sdk import with_sdk
from tests.house import add_customer

pytestmark = ON_BOTH

PATH: Final = "/v1/responses"
MODEL: Final = "kimi-k2.6"


def asked(text: str = "[tokens=4]", **fields: Any) -> Json:
    return {"model": MODEL, "input": text, **fields}


async def made(caller: Caller, text: str = "[tokens=4]", **fields: Any) -> Json:
    reply = await caller.post(asked(text, **fields), PATH)
    assert reply.status_code == 200, reply.text
    body: Json = reply.json()
    return body


async def streamed(caller: Caller, text: str = "[tokens=4]", **fields: Any) -> bytes:
    reply = await caller.post(asked(text, stream=True, **fields), PATH)
    assert reply.status_code == 200, reply.text
    return reply.content


async def test_a_response_is_read_back_as_it_was_given(caller: Caller) -> None:
    given = await made(caller, metadata={"order": "7"}, instructions="Be brief.")
    reply = await caller.http.get(f"{PATH}/{given['id']}")
    assert (reply.status_code, reply.json()) == (200, given)
    assert (given["store"], given["metadata"]) == (True, {"order": "7"})


async def test_who_has_seen_the_end_of_a_stream_can_read_it_back(caller: Caller) -> None:
    final = check(await streamed(caller)).final
    assert (await caller.http.get(f"{PATH}/{final['id']}")).json() == final


async def test_a_finished_stream_is_resumed_after_every_event(database_url: str) -> None:
    async with open_caller(database_url, heartbeat_s=0.05) as caller:
        stream = await streamed(caller, "[first=150] [tokens=4]")
        count, response_id = len(events(stream)), events(stream)[0]["response"]["id"]
        assert [event["type"] for event in events(stream)].count("response.in_progress") > 1
        blocks = [block + b"\n\n" for block in stream.split(b"\n\n")[:-1]]
        for after in range(count):
            url = f"{PATH}/{response_id}?stream=true&starting_after={after}"
            assert (await caller.http.get(url)).content == b"".join(blocks[after + 1 :])
        whole = await caller.http.get(f"{PATH}/{response_id}?stream=true")
        assert whole.content == stream
        assert whole.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_the_sdk_resumes_a_stream(caller: Caller) -> None:
    response_id = events(await streamed(caller))[0]["response"]["id"]

    def resume(client: OpenAI) -> list[int]:
        return [
            event.sequence_number for event in client.responses.retrieve(response_id, stream=True, starting_after=3)
        ]

    numbers = await with_sdk(caller, resume)
    assert numbers == list(range(4, 4 + len(numbers)))
    assert len(numbers) > 3


async def test_what_cannot_be_resumed_says_why(caller: Caller) -> None:
    body = await made(caller)
    reply = await caller.http.get(f"{PATH}/{body['id']}?stream=true")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "stream")
    response_id = events(await streamed(caller))[0]["response"]["id"]
    for after in ("999", "-1", "x"):
        reply = await caller.http.get(f"{PATH}/{response_id}?stream=true&starting_after={after}")
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "starting_after")


async def test_a_stream_that_is_too_large_is_kept_as_its_response_only(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.responses.EVENTS_MAX", 100)
    final = check(await streamed(caller)).final
    assert (await caller.http.get(f"{PATH}/{final['id']}")).json() == final
    assert (await caller.http.get(f"{PATH}/{final['id']}?stream=true")).status_code == 400


async def test_input_items_are_paged_in_either_order(caller: Caller) -> None:
    items = [{"role": "user", "content": f"[tokens=3] {number}"} for number in range(5)]
    body = await made(caller, input=items)

    def listed(client: OpenAI) -> list[list[str]]:
        found = []
        for order in ("asc", "desc"):
            page: Any = client.responses.input_items.list(body["id"], limit=2, order=order)
            found.append([item.content[0].text for item in page])
        return found

    texts = [f"[tokens=3] {number}" for number in range(5)]
    assert await with_sdk(caller, listed) == [texts, texts[::-1]]
    first = (await caller.http.get(f"{PATH}/{body['id']}/input_items?limit=2&order=asc")).json()
    assert (first["object"], first["has_more"], len(first["data"])) == ("list", True, 2)
    assert first["data"][0]["id"] == first["first_id"] != first["last_id"]
    for wrong in ("limit=0", "limit=101", "limit=x", "order=up", "after=msg_nowhere"):
        reply = await caller.http.get(f"{PATH}/{body['id']}/input_items?{wrong}")
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, wrong.partition("=")[0])


async def test_a_deleted_response_is_gone(caller: Caller) -> None:
    body = await made(caller)
    reply = await caller.http.delete(f"{PATH}/{body['id']}")
    assert reply.json() == {"id": body["id"], "object": "response", "deleted": True}
    for method, path in ROUTES:
        reply = await caller.http.request(method, path.format(id=body["id"]))
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


ROUTES: Final = (
    ("GET", f"{PATH}/{{id}}"),
    ("GET", f"{PATH}/{{id}}?stream=true"),
    ("GET", f"{PATH}/{{id}}/input_items"),
    ("POST", f"{PATH}/{{id}}/cancel"),
    ("DELETE", f"{PATH}/{{id}}"),
)


async def test_only_background_responses_can_be_cancelled_and_there_are_none(caller: Caller) -> None:
    body = await made(caller)
    reply = await caller.http.post(f"{PATH}/{body['id']}/cancel")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request_error")
    reply = await caller.post(asked(background=True), PATH)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "background")


async def test_a_response_of_another_tenant_is_answered_like_one_that_never_was(caller: Caller) -> None:
    body = await made(caller)
    stranger = elsewhere(caller.house, lambda db: add_customer(db, "Stranger"))
    headers = {"authorization": f"Bearer {stranger.key}"}

    async def told(reply: httpx2.Response) -> tuple[int, str]:
        return reply.status_code, reply.text

    for method, path in ROUTES:
        foreign = await caller.http.request(method, path.format(id=body["id"]), headers=headers)
        missing = await caller.http.request(method, path.format(id="resp_none"), headers=headers)
        assert await told(foreign) == await told(missing)
        assert foreign.status_code == 404
    foreign = await caller.post(asked(previous_response_id=body["id"]), PATH, **headers)
    missing = await caller.post(asked(previous_response_id="resp_none"), PATH, **headers)
    assert await told(foreign) == await told(missing)
    assert (foreign.status_code, foreign.json()["error"]["param"]) == (404, "previous_response_id")
    assert len(caller.upstream()) == 1
    assert (await caller.http.get(f"{PATH}/{body['id']}")).json() == body


async def test_what_is_not_to_be_stored_is_not(caller: Caller) -> None:
    body = await made(caller, store=False)
    stream = await streamed(caller, store=False)
    assert body["store"] is False
    for response_id in (body["id"], check(stream).final["id"]):
        assert (await caller.http.get(f"{PATH}/{response_id}")).status_code == 404
    assert caller.rows("SELECT id FROM responses") == []


async def test_a_response_is_forgotten_after_30_days(caller: Caller) -> None:
    body, kept = await made(caller), await made(caller)
    past = now_us() - KEEP_US
    change(caller.house, "UPDATE responses SET expires_at = ? WHERE id = ?", past, body["id"])
    assert (await caller.http.get(f"{PATH}/{body['id']}")).status_code == 404
    assert elsewhere(caller.house, lambda db: stored.sweep(db, now_us(), 10)) == 1
    assert caller.rows("SELECT id FROM responses") == [(kept["id"],)]


async def test_a_conversation_with_a_gap_is_not_answered_as_if_it_had_none(caller: Caller) -> None:
    first = await made(caller)
    second = await made(caller, previous_response_id=first["id"])
    await caller.http.delete(f"{PATH}/{first['id']}")
    reply = await caller.post(asked(previous_response_id=second["id"]), PATH)
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "previous_response_id")
    assert "was deleted" in reply.json()["error"]["message"]


@pytest.mark.parametrize("bound", ["LONGEST", "LARGEST"])
async def test_a_conversation_has_bounds(caller: Caller, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await made(caller)
    second = await made(caller, previous_response_id=first["id"])
    monkeypatch.setattr(f"app.usecases.responses.{bound}", 1)
    reply = await caller.post(asked(previous_response_id=second["id"]), PATH)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "previous_response_id")
    assert "too long" in reply.json()["error"]["message"]


async def test_a_failed_response_is_neither_charged_nor_stored(caller: Caller) -> None:
    final = check(await streamed(caller, "[mock=error_mid] [pace=200]")).final
    assert final["status"] == "failed"
    assert (await caller.receipt(final["id"]))["credits"] == 0
    assert caller.rows("SELECT id FROM responses") == []


async def test_a_large_request_is_answered_but_not_stored(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.responses.STORED_MAX_BYTES", 1000)
    body = await made(caller, "[tokens=3] " + "x " * 600)
    assert body["store"] is False
    assert caller.rows("SELECT id FROM responses") == []
