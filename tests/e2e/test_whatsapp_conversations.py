"""Conversations of WhatsApp over the platform API: taken over and handed back, ended, drafted for, their files."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import trio

from app.core.identity import now_us
from app.storage import media
from app.storage.media import StoredMedia
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, elsewhere, open_caller
from tests.e2e.members import add_member, session_headers
from tests.e2e.whatsapp_office import SCOPES, bot_of, connected, refused, talk

pytestmark = ON_BOTH


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": SCOPES}) as opened:
        yield opened


async def test_who_takes_over_is_obeyed_and_who_hands_back_too(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, said = talk(caller, number)
    path = f"/api/v1/conversations/{conversation}"
    off = (await caller.http.post(f"{path}/autoreply", json={"enabled": False})).json()
    assert (off["ai_autoreply_enabled"], off["number_id"]) == (False, number["id"])
    assert caller.rows("SELECT disposition FROM messages WHERE id = ?", said) == [("human",)]
    assert (await caller.http.post(f"{path}/autoreply", json={"enabled": True})).json()["ai_autoreply_enabled"] is True


async def test_webhooks_hear_once_of_a_conversation_that_is_ended(caller: Caller) -> None:
    conversation, _ = talk(caller, await connected(caller, bot_id=bot_of(caller)))
    admin = session_headers(caller.house, add_member(caller.house, "admin"))
    hook = {"url": "https://example.com/hook", "events": ["conversation.ended"]}
    key = caller.http.headers.pop("authorization")
    assert (await caller.http.post("/api/v1/webhooks", json=hook, headers=admin)).status_code == 201
    caller.http.headers["authorization"] = key
    for _ in range(2):
        await caller.http.put(f"/api/v1/conversations/{conversation}/status", json={"status": "completed"})
    bodies = [msgspec.json.decode(row[0]) for row in caller.rows("SELECT body FROM deliveries")]
    assert [body["data"]["conversation_id"] for body in bodies] == [conversation]


async def test_a_draft_is_paid_for_and_never_sent(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, _ = talk(caller, number)
    before = caller.books()
    reply = await caller.http.post(f"/api/v1/conversations/{conversation}/ai-draft")
    assert reply.status_code == 200, reply.text
    assert reply.json()["draft"]
    after = await caller.settled()
    assert (after.calls, after.balance) == (before.calls + 1, before.balance - after.charged)
    assert after.charged > before.charged
    assert caller.rows("SELECT COUNT(*) FROM sends") == [(0,)]


async def test_there_is_no_draft_without_a_question_or_a_bot(caller: Caller) -> None:
    bot_id = bot_of(caller)
    conversation, said = talk(caller, await connected(caller, bot_id=bot_id))
    path = f"/api/v1/conversations/{conversation}/ai-draft"
    elsewhere(caller.house, lambda db: db.run("UPDATE messages SET role = 'assistant' WHERE id = ?", said))
    assert await refused(caller, "POST", path) == (409, "conflict", None)
    elsewhere(caller.house, lambda db: db.run("UPDATE messages SET role = 'user' WHERE id = ?", said))
    await caller.http.delete(f"/api/v1/bots/{bot_id}")
    assert await refused(caller, "POST", path) == (409, "conflict", None)
    assert caller.books().calls == 0


async def test_a_file_that_was_kept_can_be_had(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, said = talk(caller, number)
    path = f"/api/v1/conversations/{conversation}/messages/{said}/media"
    assert (await caller.http.get(path)).status_code == 404
    tenant = caller.house.customer.tenant_id
    row = StoredMedia("med_" + "0" * 26, said, "image/svg+xml", 4, "x", 'a"b.svg', now_us())
    elsewhere(caller.house, lambda db: media.insert_media(db, tenant, row))
    folder = f"{caller.house.settings.blob_dir}/.media/{tenant}/0000"
    await write_file(folder, row.id, b"<svg")
    reply = await caller.http.get(path)
    assert (reply.status_code, reply.content) == (200, b"<svg")
    assert reply.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22b.svg"
    assert reply.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def write_file(folder: str, name: str, data: bytes) -> None:
    await trio.Path(folder).mkdir(parents=True)
    await trio.Path(folder, name).write_bytes(data)
