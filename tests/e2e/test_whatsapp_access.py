"""Who may do what over the platform API for channels: other tenants, agents and admins, the scopes of keys."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller
from tests.e2e.members import add_member, session_headers
from tests.e2e.whatsapp_office import NEW, NUMBERS, PHONE, SCOPES, SEND, TWILIO, bot_of, connected, talk
from tests.house import add_customer

pytestmark = ON_BOTH


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": SCOPES}) as opened:
        yield opened


async def test_another_tenants_things_are_as_missing_as_none(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, said = talk(caller, number)
    sent = await caller.http.post(f"{SEND}/messages", json={"conversation_id": conversation, "text": "Soon."})
    theirs = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="*"))
    ids = {"N": number["id"], "C": conversation, "M": said, "S": sent.json()["message_id"], "B": number["bot_id"]}
    asked: list[tuple[str, str, Json | None]] = [
        ("GET", f"{NUMBERS}/N", None),
        ("PUT", f"{NUMBERS}/N", {"name": "mine"}),
        ("POST", f"{NUMBERS}/N/verify", None),
        ("DELETE", f"{NUMBERS}/N", None),
        ("GET", f"{SEND}/messages/S", None),
        ("POST", f"{SEND}/messages/S/resend", None),
        ("POST", f"{SEND}/messages", {"conversation_id": "C", "text": "a"}),
        ("POST", f"{SEND}/template", {"to": PHONE, "number_id": "N", "name": "a"}),
        ("POST", "/api/v1/conversations/C/ai-draft", None),
        ("POST", "/api/v1/conversations/C/autoreply", {"enabled": False}),
        ("PUT", "/api/v1/conversations/C/status", {"status": "failed"}),
        ("GET", "/api/v1/conversations/C/messages/M/media", None),
        ("POST", "/api/v1/bots/B/deploy/verify", None),
        ("POST", NUMBERS, {**TWILIO, "bot_id": "B"}),
    ]
    async with httpx2.AsyncClient(base_url=caller.house.url, headers={"authorization": f"Bearer {theirs.key}"}) as http:
        for method, path, body in asked:
            answers = []
            for real in (True, False):
                words = {name: each if real else "0" * 36 for name, each in ids.items()}
                filled = "/".join(words.get(part, part) for part in path.split("/"))
                fields = None if body is None else {name: words.get(value, value) for name, value in body.items()}
                answers.append(await http.request(method, filled, json=fields))
            assert [reply.status_code for reply in answers] == [404, 404], (path, answers[0].text)
            assert answers[0].content == answers[1].content


async def test_an_agent_writes_and_an_admin_connects(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    talk(caller, number)
    member = add_member(caller.house, "agent")
    agent = session_headers(caller.house, member)
    caller.http.headers.pop("authorization")
    for method, path in (("GET", NUMBERS), ("GET", "/api/v1/settings/whatsapp")):
        reply = await caller.http.request(method, path, headers=agent)
        assert reply.json()["error"]["code"] == "role_required"
    sent = await caller.http.post(f"{SEND}/messages", json={"to": PHONE, "text": "Hello"}, headers=agent)
    assert sent.status_code == 202, sent.text
    assert caller.rows("SELECT author, author_id FROM messages WHERE role = 'assistant'") == [
        ("member", member.user_id)
    ]
    resent = await caller.http.post(f"{SEND}/messages/{sent.json()['message_id']}/resend", headers=agent)
    assert resent.json()["error"]["code"] == "role_required"


async def test_a_key_for_whatsapp_may_connect_numbers_without_one_for_settings(caller: Caller) -> None:
    theirs = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="whatsapp:read,whatsapp:write"))
    async with httpx2.AsyncClient(base_url=caller.house.url, headers={"authorization": f"Bearer {theirs.key}"}) as http:
        assert (await http.post(NUMBERS, json=NEW)).status_code == 201
        assert len((await http.get(NUMBERS)).json()["data"]) == 1
        assert (await http.post(f"{SEND}/messages", json={"to": PHONE, "text": "a"})).status_code == 403
