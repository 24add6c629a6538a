"""Bots over HTTP as the dashboard and keys use them: made, read, changed, deleted, listed, and never shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import pytest

from app.storage import conversations
from app.storage.conversations import StoredConversation
from app.storage.database import Transaction
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller
from tests.e2e.members import add_member, session_headers
from tests.house import add_customer

pytestmark = ON_BOTH
BOTS: Final = "/api/v1/bots"
NEW: Final = {"type": "whatsapp", "name": "Asha", "system_prompt": "Be kind.", "config": {"language": "hi-IN"}}


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": "bots:read,bots:write"}) as opened:
        yield opened


async def made(caller: Caller, **fields: Any) -> Json:
    reply = await caller.http.post(BOTS, json={**NEW, **fields})
    assert reply.status_code == 201, reply.text
    bot: Json = reply.json()
    return bot


async def test_a_bot_that_is_made_is_read_back(caller: Caller) -> None:
    bot = await made(caller)
    expected = {**NEW, "tenant_id": caller.house.customer.tenant_id, "is_active": True, "conversation_count": 0}
    assert {name: bot[name] for name in expected} == expected
    assert bot["created_at"] == bot["updated_at"]
    assert (await caller.http.get(f"{BOTS}/{bot['id']}")).json() == bot


async def test_a_bot_counts_its_conversations(caller: Caller) -> None:
    bot, tenant = await made(caller), caller.house.customer.tenant_id

    def talk(db: Transaction) -> None:
        for number in range(3):
            row = (f"c{number}", bot["id"], "whatsapp", f"+91 {number}", "active", None, "{}", True, 1, 1)
            conversations.insert_conversation(db, tenant, StoredConversation(*row))

    elsewhere(caller.house, talk)
    assert (await caller.http.get(f"{BOTS}/{bot['id']}")).json()["conversation_count"] == 3


async def test_what_a_change_leaves_out_stays(caller: Caller) -> None:
    bot = await made(caller)
    changed = (await caller.http.put(f"{BOTS}/{bot['id']}", json={"name": "Usha"})).json()
    assert changed == {**bot, "name": "Usha", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > bot["updated_at"]


async def test_a_switch_switches_and_a_second_one_switches_back(caller: Caller) -> None:
    bot = await made(caller)
    states = [(await caller.http.post(f"{BOTS}/{bot['id']}/toggle")).json()["is_active"] for _ in range(2)]
    assert states == [False, True]


async def test_a_deleted_bot_is_gone_everywhere(caller: Caller) -> None:
    bot = await made(caller)
    path = f"{BOTS}/{bot['id']}"
    reply = await caller.http.delete(path)
    assert (reply.status_code, reply.content) == (204, b"")
    for method, url, body in (
        *(("GET", path, None), ("DELETE", path, None), ("POST", f"{path}/toggle", None)),
        ("PUT", path, {"name": "again"}),
    ):
        assert (await caller.http.request(method, url, json=body)).status_code == 404
    assert (await caller.http.get(BOTS)).json() == {"data": [], "next_cursor": None}


async def test_secrets_of_a_configuration_are_never_read_back_nor_kept_in_clear(caller: Caller) -> None:
    config = {"phone_number_id": "1", "access_token": "EAAG-very-secret", "verifyToken": "v-secret"}
    bot = await made(caller, config=config)
    shown = {"phone_number_id": "1", "access_token": "[REDACTED]", "verifyToken": "[REDACTED]"}
    assert bot["config"] == shown
    row = repr(caller.rows("SELECT config, secrets FROM bots"))
    assert "secret" not in row


async def test_a_configuration_that_is_sent_back_as_it_was_read_keeps_its_secrets(caller: Caller) -> None:
    bot = await made(caller, config={"access_token": "EAAG-very-secret"})
    path = f"{BOTS}/{bot['id']}"
    sealed = caller.rows("SELECT secrets FROM bots")
    changed = (await caller.http.put(path, json={"config": {**bot["config"], "language": "ta-IN"}})).json()
    assert changed["config"] == {"access_token": "[REDACTED]", "language": "ta-IN"}
    assert len(caller.rows("SELECT secrets FROM bots")[0][0]) == len(sealed[0][0])
    without = (await caller.http.put(path, json={"config": {"language": "ta-IN"}})).json()
    assert without["config"] == {"language": "ta-IN"}
    assert caller.rows("SELECT secrets FROM bots") == [("",)]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"type": "fax"}, "invalid_value", "type"),
        ({"name": ""}, "invalid_value", "name"),
        ({"name": "a" * 256}, "invalid_value", "name"),
        ({"name": 7}, "invalid_type", "name"),
        ({"system_prompt": "a" * 20_001}, "invalid_value", "system_prompt"),
        ({"config": []}, "invalid_type", "config"),
        ({"config": {"access_token": {"deep": "secret"}}}, "invalid_type", "config"),
        ({"config": {"twilio": [{"auth_token": "secret"}]}}, "invalid_value", "config"),
        ({"config": {"x": "a" * 70_000}}, "invalid_value", "config"),
        ({"is_active": "yes"}, "invalid_type", "is_active"),
    ],
)
async def test_what_a_bot_cannot_have_is_refused_by_name(caller: Caller, fields: Json, code: str, param: str) -> None:
    reply = await caller.http.post(BOTS, json={**NEW, **fields})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, code, param)
    assert caller.rows("SELECT COUNT(*) FROM bots") == [(0,)]


async def test_a_field_that_is_not_known_is_refused_by_name(caller: Caller) -> None:
    bot = await made(caller)
    for reply in (
        await caller.http.post(BOTS, json={**NEW, "sytem_prompt": "Be kind."}),
        await caller.http.put(f"{BOTS}/{bot['id']}", json={"sytem_prompt": "Be kind."}),
    ):
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, "invalid_value", "sytem_prompt")
    assert caller.rows("SELECT COUNT(*) FROM bots") == [(1,)]


async def test_there_is_a_bound_to_how_many_bots_there_are(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.usecases.bots.MOST_BOTS", 2)
    first, _ = [await made(caller, name=name) for name in ("one", "two")]
    reply = await caller.http.post(BOTS, json=NEW)
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")
    await caller.http.delete(f"{BOTS}/{first['id']}")
    assert (await caller.http.post(BOTS, json=NEW)).status_code == 201


async def test_a_missing_field_is_named(caller: Caller) -> None:
    reply = await caller.http.post(BOTS, json={"name": "Asha"})
    assert reply.json()["error"]["param"] == "type"
    assert reply.json()["error"]["code"] == "missing_required_parameter"


async def pages(caller: Caller, **query: str) -> list[str]:
    """The names on all pages, in the order in which they come."""
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = await caller.http.get(BOTS, params={**query, "before": cursor})
        assert reply.status_code == 200, reply.text
        names += [bot["name"] for bot in reply.json()["data"]]
        cursor = reply.json()["next_cursor"]
    return names


async def test_pages_hold_every_bot_once_even_when_they_are_of_one_moment(caller: Caller) -> None:
    for number in range(7):
        await made(caller, name=f"bot {number}", type="ivr" if number % 2 else "whatsapp")
    tenant = caller.house.customer.tenant_id
    elsewhere(caller.house, lambda db: db.run("UPDATE bots SET created_at = 1 WHERE tenant_id = ?", tenant))
    found = await pages(caller, limit="2")
    assert sorted(found) == [f"bot {number}" for number in range(7)]
    assert sorted(await pages(caller, limit="1", type="ivr")) == ["bot 1", "bot 3", "bot 5"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("limit=1.5", "limit"),
        ("before=yesterday", "before"),
        ("before=99999-01-01T00:00:00Z", "before"),
        ("before=" + "1" * 500, "before"),
        ("type=fax", "type"),
    ],
)
async def test_a_query_that_is_wrong_is_refused_by_name(caller: Caller, query: str, param: str) -> None:
    reply = await caller.http.get(f"{BOTS}?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_another_tenants_bot_is_as_missing_as_none(caller: Caller) -> None:
    theirs = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="*"))
    bot = await made(caller)
    replies: dict[str, list[httpx2.Response]] = {}
    async with httpx2.AsyncClient(base_url=caller.house.url, headers={"authorization": f"Bearer {theirs.key}"}) as http:
        for bot_id in (bot["id"], "00000000-0000-7000-8000-000000000000", "x"):
            path = f"{BOTS}/{bot_id}"
            for method, url in (("GET", path), ("PUT", path), ("DELETE", path), ("POST", f"{path}/toggle")):
                body = {"name": "mine now"} if method == "PUT" else None
                replies.setdefault(method + url.removeprefix(path), []).append(
                    await http.request(method, url, json=body)
                )
        assert (await http.get(BOTS)).json()["data"] == []
    for answers in replies.values():
        assert {(reply.status_code, reply.content) for reply in answers} == {(404, answers[0].content)}
    assert (await caller.http.get(f"{BOTS}/{bot['id']}")).json() == bot


async def test_an_agent_reads_bots_and_an_admin_makes_them(caller: Caller) -> None:
    agent, admin = (session_headers(caller.house, add_member(caller.house, role)) for role in ("agent", "admin"))
    caller.http.headers.pop("authorization")
    assert (await caller.http.post(BOTS, json=NEW, headers=agent)).json()["error"]["code"] == "role_required"
    assert (await caller.http.post(BOTS, json=NEW, headers=admin)).status_code == 201
    assert len((await caller.http.get(BOTS, headers=agent)).json()["data"]) == 1


async def test_functions_of_a_bot_need_a_secret_that_signs_their_calls(caller: Caller) -> None:
    tools = [{"name": "price", "url": "https://shop.example/price"}]
    refused = await caller.http.post(BOTS, json={**NEW, "config": {"tools": tools}})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "config.tools_secret")
    bot = await made(caller, config={"tools": tools, "tools_secret": "sixteen letters!"})
    assert bot["config"]["tools_secret"] == "[REDACTED]"
    kept = await caller.http.put(f"{BOTS}/{bot['id']}", json={"config": bot["config"]})
    assert kept.status_code == 200
