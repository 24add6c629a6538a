"""Conversations over HTTP: found by what they are, paged without a gap, handled by every role, and never shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import pytest

from app.core.identity import new_uuid
from app.storage import bots, conversations
from app.storage.bots import StoredBot
from app.storage.conversations import StoredConversation, StoredMessage, Wanted, page_query
from app.storage.database import Transaction
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller
from tests.e2e.members import add_member, session_headers
from tests.house import add_customer
from tests.storage.making import DAY_0

pytestmark = ON_BOTH
ALL: Final = "/api/v1/conversations"
HOUR_US: Final = 3_600_000_000
CHANNELS: Final = ("whatsapp", "voice", "web")
STATUSES: Final = ("active", "completed", "escalated", "failed")


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    scopes = {"scopes": "conversations:read,conversations:write"}
    async with open_caller(database_url, customer=scopes) as opened:
        yield opened


def said(db: Transaction, tenant_id: str, count: int = 12, messages: int = 3) -> list[str]:
    """So many conversations of two bots, the first being the oldest; each pair of them changed at one moment."""
    bot_ids = [new_uuid(DAY_0), new_uuid(DAY_0)]
    for at, bot_id in enumerate(bot_ids):
        bot = StoredBot(bot_id, "whatsapp", f"bot {at}", "", "{}", "", True, DAY_0, DAY_0)
        bots.insert_bot(db, tenant_id, bot)
    ids = sorted(new_uuid(DAY_0) for _ in range(count))
    for at, conversation_id in enumerate(ids):
        changed = DAY_0 + at // 2 * HOUR_US
        channel, status = CHANNELS[at % 3], STATUSES[at % 4]
        row = (conversation_id, bot_ids[at % 2], channel, f"+91 {at}", status, 7, '{"name": "Ravi"}', True)
        conversations.insert_conversation(db, tenant_id, StoredConversation(*row, DAY_0, changed))
        for number in range(messages):
            message = (new_uuid(DAY_0), conversation_id, ("user", "assistant")[number % 2], f"{number}", "text", 2)
            conversations.insert_message(db, tenant_id, StoredMessage(*message, DAY_0 + number // 2))
    return ids


def begun(caller: Caller, **wanted: int) -> list[str]:
    return elsewhere(caller.house, lambda db: said(db, caller.house.customer.tenant_id, **wanted))


async def pages(caller: Caller, url: str, **query: str) -> list[Json]:
    found: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = await caller.http.get(url, params={**query, "before": cursor})
        assert reply.status_code == 200, reply.text
        found += reply.json()["data"]
        cursor = reply.json()["next_cursor"]
    return found


async def test_pages_hold_every_conversation_once_the_last_that_changed_first(caller: Caller) -> None:
    ids = begun(caller)
    assert [one["id"] for one in await pages(caller, ALL, limit="5")] == ids[::-1]
    assert [one["id"] for one in await pages(caller, ALL, limit="1", status="failed")] == [ids[11], ids[7], ids[3]]


async def test_a_conversation_is_shown_with_its_bots_name(caller: Caller) -> None:
    ids = begun(caller, count=1)
    shown = (await caller.http.get(f"{ALL}/{ids[0]}")).json()
    assert shown == {
        "id": ids[0],
        "tenant_id": caller.house.customer.tenant_id,
        "bot_id": shown["bot_id"],
        "channel": "whatsapp",
        "external_id": "+91 0",
        "status": "active",
        "duration_seconds": 7,
        "metadata": {"name": "Ravi"},
        "ai_autoreply_enabled": True,
        "created_at": shown["created_at"],
        "updated_at": shown["updated_at"],
        "bot_name": "bot 0",
        "number_id": None,
        "flag": None,
    }


async def test_filters_meet(caller: Caller) -> None:
    ids = begun(caller)
    bot_id = (await caller.http.get(f"{ALL}/{ids[0]}")).json()["bot_id"]
    found = await pages(caller, ALL, channel="whatsapp", bot_id=bot_id)
    assert [one["id"] for one in found] == [ids[6], ids[0]]


async def test_an_offset_skips_so_many(caller: Caller) -> None:
    ids = begun(caller)
    reply = await caller.http.get(ALL, params={"limit": "3", "offset": "2"})
    assert [one["id"] for one in reply.json()["data"]] == ids[::-1][2:5]


async def test_messages_come_newest_first_and_all_of_them(caller: Caller) -> None:
    ids = begun(caller, count=2, messages=5)
    found = await pages(caller, f"{ALL}/{ids[0]}/messages", limit="2")
    assert len({one["id"] for one in found}) == 5
    assert found[0]["content"] == "4"
    assert {one["conversation_id"] for one in found} == {ids[0]}


async def test_a_status_and_who_answers_can_be_set(caller: Caller) -> None:
    ids = begun(caller)
    path = f"{ALL}/{ids[0]}"
    assert (await caller.http.put(f"{path}/status", json={"status": "escalated"})).json()["status"] == "escalated"
    off = (await caller.http.post(f"{path}/autoreply", json={"enabled": False})).json()
    assert off["ai_autoreply_enabled"] is False
    assert (await caller.http.get(path)).json() == off
    assert (await pages(caller, ALL))[0]["id"] == ids[0]


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("GET", "?channel=fax", None, "channel"),
        ("GET", "?status=", None, None),
        ("GET", "?status=open", None, "status"),
        ("GET", "?offset=10001", None, "offset"),
        ("GET", "?offset=-1", None, "offset"),
        ("GET", "?before=now", None, "before"),
        ("PUT", "/{id}/status", {"status": "open"}, "status"),
        ("PUT", "/{id}/status", {}, "status"),
        ("POST", "/{id}/autoreply", {"enabled": "no"}, "enabled"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    caller: Caller, method: str, path: str, body: Json | None, param: str | None
) -> None:
    ids = begun(caller, count=1)
    reply = await caller.http.request(method, ALL + path.replace("{id}", ids[0]), json=body)
    error: Any = reply.json().get("error")
    assert (error and error["param"]) == param
    assert reply.status_code == (400 if param else 200)


async def test_another_tenants_conversation_is_as_missing_as_none(caller: Caller) -> None:
    ids = begun(caller, count=1)
    theirs = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="*"))
    async with httpx2.AsyncClient(base_url=caller.house.url, headers={"authorization": f"Bearer {theirs.key}"}) as http:
        for method, path, body in (
            ("GET", "", None),
            ("GET", "/messages", None),
            ("PUT", "/status", {"status": "failed"}),
            ("POST", "/autoreply", {"enabled": False}),
        ):
            mine, nobodys = [
                await http.request(method, f"{ALL}/{each}{path}", json=body) for each in (ids[0], "nobody")
            ]
            assert (mine.status_code, mine.content) == (404, nobodys.content)
        assert (await http.get(ALL)).json() == {"data": [], "next_cursor": None}
    assert (await caller.http.get(f"{ALL}/{ids[0]}")).json()["status"] == "active"


async def test_an_agent_handles_conversations(caller: Caller) -> None:
    ids = begun(caller, count=1)
    agent = session_headers(caller.house, add_member(caller.house, "agent"))
    caller.http.headers.pop("authorization")
    reply = await caller.http.put(f"{ALL}/{ids[0]}/status", json={"status": "completed"}, headers=agent)
    assert reply.json()["status"] == "completed"


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(), "conversations_newest"),
        (Wanted(status="failed"), "conversations_by_status"),
        (Wanted(channel="voice"), "conversations_by_channel"),
        (Wanted(bot_id="b"), "conversations_of_bot"),
    ],
)
async def test_a_page_is_read_from_an_index_and_nothing_is_sorted(caller: Caller, wanted: Wanted, index: str) -> None:
    begun(caller)
    tenant = caller.house.customer.tenant_id
    sql, values = page_query(tenant, wanted)
    if caller.house.settings.database_url.startswith("sqlite"):
        plan = repr(caller.rows(f"EXPLAIN QUERY PLAN {sql}", *values))
        assert index in plan
        assert "TEMP B-TREE" not in plan
    else:
        elsewhere(caller.house, lambda db: db.do("ANALYZE conversations"))
        plan = repr(elsewhere(caller.house, lambda db: _plan(db, sql, values)))
        assert index in plan
        assert "Sort" not in plan


def _plan(db: Transaction, sql: str, values: list[Any]) -> list[Any]:
    """What PostgreSQL would do with a table that is too large to be read whole or sorted."""
    for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
        db.do(f"SET LOCAL enable_{way} = off")
    return db.all(f"EXPLAIN {sql}", *values)
