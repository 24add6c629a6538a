"""What members and keys send over the platform API: what goes out, and what is refused and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx2
import msgspec
import pytest

from app.core.identity import now_us
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller, until
from tests.e2e.whatsapp_office import NEW, PHONE, SCOPES, SEND, TWILIO, bot_of, connected, known_to_meta, refused, talk

pytestmark = ON_BOTH


NO_MESSAGES: Final[list[tuple[str, Json, str, str | None]]] = [
    ("messages", {"to": PHONE, "text": ""}, "invalid_value", "text"),
    ("messages", {"to": PHONE, "text": "\n \n"}, "invalid_value", "text"),
    ("messages", {"to": PHONE, "text": "a" * 65_537}, "invalid_value", "text"),
    ("messages", {"to": "9876543210", "text": "a"}, "invalid_value", "to"),
    ("messages", {"text": "a"}, "missing_required_parameter", "to"),
    ("messages", {"to": PHONE, "conversation_id": "x", "text": "a"}, "invalid_value", "to"),
    ("messages", {"conversation_id": "x", "text": "a"}, "not_found", None),
    ("messages", {"to": PHONE, "number_id": "x", "text": "a"}, "not_found", None),
    ("messages", {"to": PHONE, "reply_to": "x", "text": "a"}, "not_found", "reply_to"),
    ("template", {"to": PHONE, "name": "a", "variables": {"1": "b"}}, "invalid_value", "variables"),
    ("media", {"to": PHONE, "kind": "image", "link": "http://10.0.0.1/a"}, "invalid_value", "link"),
    ("media", {"to": PHONE, "kind": "audio", "link": "https://a.io/a", "caption": "a"}, "invalid_value", "caption"),
    ("media", {"to": PHONE, "kind": "fax", "link": "https://a.io/a"}, "invalid_value", "kind"),
    ("interactive", {"to": PHONE, "interactive": {}}, "missing_required_parameter", "interactive.type"),
]


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": SCOPES}) as opened:
        yield opened


async def test_a_text_goes_out_in_parts_and_silences_the_bot(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, said = talk(caller, number)
    body = {"to": PHONE, "text": "word " * 1000, "reply_to": said}
    reply = await caller.http.post(f"{SEND}/messages", json=body)
    assert reply.status_code == 202, reply.text
    sent = reply.json()
    assert (sent["conversation_id"], sent["status"], sent["parts"]) == (conversation, "queued", 2)
    assert (await caller.http.get(f"/api/v1/conversations/{conversation}")).json()["ai_autoreply_enabled"] is False
    rows = caller.rows("SELECT body FROM sends ORDER BY part")
    assert [msgspec.json.decode(row[0]).get("reply_to") for row in rows] == ["wamid.A", None]
    newest, question = (await caller.http.get(f"/api/v1/conversations/{conversation}/messages")).json()["data"]
    assert (newest["author"], newest["author_id"]) == ("key", caller.house.customer.key_id)
    assert question["file"] == {"media_type": "image/png", "name": "a.png", "is_kept": False}


async def test_what_is_sent_arrives_and_is_told_of(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    await known_to_meta(caller)
    conversation, _ = talk(caller, number)
    account = NEW["phone_number_id"]
    async with httpx2.AsyncClient(base_url=caller.house.simulator_url) as meta:
        said = {"account": account, "from": {"phone": PHONE}, "messages": [{"text": "Where is it?"}]}
        assert (await meta.post("/whatsapp/say", json=said)).is_success
        body = {"conversation_id": conversation, "text": "On its way."}
        path = f"{SEND}/messages/{(await caller.http.post(f'{SEND}/messages', json=body)).json()['message_id']}"
        phone = await meta.get("/whatsapp/phone", params={"account": account, "phone": PHONE, "wait": "3"})
    assert "On its way." in phone.text

    async def accepted() -> bool:
        sent = (await caller.http.get(path)).json()
        return bool(sent["wamids"]) and sent["status"] in ("accepted", "sent", "delivered", "read")

    await until(accepted)


async def test_outside_of_the_window_only_a_template_can_be_sent(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    stranger = {"to": "+15551234567"}
    shut = (422, "window_closed", None)
    assert await refused(caller, "POST", f"{SEND}/messages", {**stranger, "text": "Hello"}) == shut
    talk(caller, number, window_us=30_000_000)
    assert await refused(caller, "POST", f"{SEND}/messages", {"to": PHONE, "text": "Hello"}) == shut
    assert caller.rows("SELECT COUNT(*) FROM sends") == [(0,)]
    sent = await caller.http.post(f"{SEND}/template", json={**stranger, "name": "hello_world", "language": "en_US"})
    assert sent.status_code == 202, sent.text
    opened = (await caller.http.get(f"/api/v1/conversations/{sent.json()['conversation_id']}")).json()
    assert (opened["external_id"], opened["ai_autoreply_enabled"]) == ("+15551234567", True)


async def test_a_template_that_cannot_be_paid_for_is_refused(caller: Caller) -> None:
    await connected(caller, bot_id=bot_of(caller))
    tenant = caller.house.customer.tenant_id
    elsewhere(caller.house, lambda db: db.run("UPDATE tenants SET balance = 119999 WHERE id = ?", tenant))
    body = {"to": PHONE, "name": "hello_world"}
    try:
        assert await refused(caller, "POST", f"{SEND}/template", body) == (402, "insufficient_credits", None)
        assert caller.rows("SELECT COUNT(*) FROM contacts") == [(0,)]
    finally:
        mend = "UPDATE tenants SET balance = (SELECT SUM(amount) FROM ledger_entries WHERE tenant_id = tenants.id)"
        elsewhere(caller.house, lambda db: db.run(mend))


async def test_what_cannot_be_sent_is_refused_by_name(caller: Caller) -> None:
    talk(caller, await connected(caller, bot_id=bot_of(caller)))
    for path, body, code, param in NO_MESSAGES:
        assert (await refused(caller, "POST", f"{SEND}/{path}", body))[1:] == (code, param), body
    assert caller.rows("SELECT COUNT(*) FROM sends") == [(0,)]


async def test_with_several_numbers_one_must_be_named(caller: Caller) -> None:
    bot_id = bot_of(caller)
    assert (await refused(caller, "POST", f"{SEND}/template", {"to": PHONE, "name": "a"}))[1] == "conflict"
    await connected(caller, bot_id=bot_id)
    twilio = await connected(caller, TWILIO, bot_id=bot_id)
    assert (await refused(caller, "POST", f"{SEND}/template", {"to": PHONE, "name": "a"}))[2] == "number_id"
    body = {"to": PHONE, "number_id": twilio["id"], "name": "HX1", "variables": {"1": "Asha"}}
    assert (await caller.http.post(f"{SEND}/template", json=body)).status_code == 202


async def test_what_would_wait_for_more_than_a_minute_is_refused(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller), access_token="nobody-knows-it")
    conversation, _ = talk(caller, number)
    later = now_us() + 300_000_000
    elsewhere(caller.house, lambda db: db.run("UPDATE contacts SET tat = ?", later))
    reply = await caller.http.post(f"{SEND}/messages", json={"conversation_id": conversation, "text": "word " * 9000})
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(reply.headers["retry-after"]) <= 100


async def test_only_what_nobody_knows_the_outcome_of_is_sent_again(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, _ = talk(caller, number)
    body = {"conversation_id": conversation, "text": "Soon."}
    message_id = (await caller.http.post(f"{SEND}/messages", json=body)).json()["message_id"]
    path = f"{SEND}/messages/{message_id}"
    elsewhere(caller.house, lambda db: db.run("UPDATE sends SET state = 'delivered', due_at = due_at + 1"))
    assert await refused(caller, "POST", f"{path}/resend") == (409, "conflict", None)
    lost = "UPDATE sends SET state = 'failed', reason = 'unknown_outcome'"
    elsewhere(caller.house, lambda db: db.run(lost))
    again = (await caller.http.post(f"{path}/resend")).json()
    assert [part["reason"] for part in again["parts"]] == [None]
