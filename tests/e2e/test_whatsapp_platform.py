"""The platform API for channels over HTTP: numbers, their secrets and checks, what members send, who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import msgspec
import pytest
import trio

from app.core.identity import new_uuid, now_us
from app.storage import bots, contacts, conversations, media
from app.storage.bots import StoredBot
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Transaction
from app.storage.media import StoredMedia
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller, until
from tests.e2e.members import add_member, session_headers
from tests.house import add_customer

pytestmark = ON_BOTH
NUMBERS: Final = "/api/v1/whatsapp/numbers"
SEND: Final = "/api/v1/whatsapp"
TOKEN: Final = "EAAG-the-access-token-of-acme"
SECRET: Final = "the-app-secret-of-acme"
NEW: Final[Json] = {
    "provider": "meta",
    "phone_number_id": "106540352242922",
    "waba_id": "102290129340398",
    "access_token": TOKEN,
    "app_secret": SECRET,
    "verify_token": "a-word-of-acmes-own",
}
TWILIO: Final[Json] = {
    "provider": "twilio",
    "phone_number": "+14155238886",
    "account_sid": "AC0123456789abcdef0123456789abcdef",
    "auth_token": "0123456789abcdef0123456789abcdef",
}
PHONE: Final = "+919876543210"
DAY_US: Final = 86_400_000_000
NO_NUMBERS: Final[list[tuple[Json, str, str]]] = [
    ({"provider": "fax"}, "invalid_value", "provider"),
    ({"provider": "meta", "phone_number_id": "1"}, "missing_required_parameter", "access_token"),
    ({**NEW, "phone_number_id": "+15550001111"}, "invalid_value", "phone_number_id"),
    ({**NEW, "access_token": "two\nlines"}, "invalid_value", "access_token"),
    ({**NEW, "access_token": "EAAG••••••••acme"}, "invalid_value", "access_token"),
    ({**NEW, "auth_token": "of Twilio"}, "invalid_value", "auth_token"),
    ({**TWILIO, "phone_number": "4155238886"}, "invalid_value", "phone_number"),
    ({**TWILIO, "account_sid": "SK1"}, "invalid_value", "account_sid"),
    ({**NEW, "bot_id": "00000000-0000-7000-8000-000000000000"}, "not_found", "bot_id"),
    ({**NEW, "secret": "x"}, "invalid_value", "secret"),
]
NO_CONFIGS: Final[list[tuple[Json, str]]] = [
    ({"temperature": 3}, "config.temperature"),
    ({"reply_mode": "shout"}, "config.reply_mode"),
    ({"tools": [{"name": "order", "url": "http://10.0.0.1/"}]}, "url"),
    ({"max_tokens": "many"}, "config.max_tokens"),
]
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
    scopes = "settings:read,settings:write,whatsapp:send,whatsapp:read,bots:read,bots:write,conversations:read"
    async with open_caller(database_url, customer={"scopes": f"{scopes},conversations:write"}) as opened:
        yield opened


async def connected(caller: Caller, new: Json = NEW, **fields: Any) -> Json:
    reply = await caller.http.post(NUMBERS, json={**new, **fields})
    assert reply.status_code == 201, reply.text
    number: Json = reply.json()
    return number


async def refused(caller: Caller, method: str, path: str, body: Json | None = None) -> tuple[int, str, str | None]:
    reply = await caller.http.request(method, path, json=body)
    error = reply.json()["error"]
    return reply.status_code, error["code"], error["param"]


async def known_to_meta(caller: Caller, token: str = TOKEN) -> None:
    """The provider knows the number, and this token opens it."""
    number = {"provider": "meta", "phone": "+15550001111", "account": NEW["phone_number_id"], "token": token}
    async with httpx2.AsyncClient(base_url=caller.house.simulator_url) as http:
        reply = await http.post("/whatsapp/numbers", json={**number, "business": NEW["waba_id"], "name": "Acme Shop"})
        assert reply.is_success, reply.text


def bot_of(caller: Caller) -> str:
    """A bot that can answer."""
    at, tenant = now_us(), caller.house.customer.tenant_id
    bot = StoredBot(new_uuid(at), "whatsapp", "Asha", "Be kind.", "{}", "", True, at, at)
    elsewhere(caller.house, lambda db: bots.insert_bot(db, tenant, bot))
    return bot.id


def talk(caller: Caller, number: Json, *, window_us: int = DAY_US) -> tuple[str, str]:
    """Somebody has written to the number: (conversation, message)."""
    at, tenant = now_us(), caller.house.customer.tenant_id
    contact_id, talk_id, said = new_uuid(at), new_uuid(at), new_uuid(at)

    def write(db: Transaction) -> None:
        contact = StoredContact(
            *(contact_id, number["id"], "", PHONE, "Ravi", talk_id, at + window_us, None, 0, 0, 0, "{}", at, at)
        )
        contacts.insert_contact(db, tenant, contact)
        contacts.set_alias(db, tenant, number["id"], f"p:{PHONE}", contact_id)
        row = StoredConversation(talk_id, number["bot_id"], "whatsapp", PHONE, "active", None, "{}", True, at, at)
        row = row._replace(number_id=number["id"], contact_id=contact_id)
        conversations.insert_conversation(db, tenant, row)
        details = msgspec.json.encode({"media": {"media_type": "image/png", "name": "a.png"}}).decode()
        message = StoredMessage(said, talk_id, "user", "Where is my order? [tokens=4]", "image", 0, at, "", 1)
        message = message._replace(provider_id="wamid.A", author="contact", disposition="open", details=details)
        conversations.insert_message(db, tenant, message)

    elsewhere(caller.house, write)
    return talk_id, said


async def test_secrets_of_a_number_are_masked_sealed_and_kept_when_they_come_back(caller: Caller) -> None:
    number = await connected(caller)
    assert number["access_token"] == "EAAG••••••••acme"
    assert number["app_secret"] == "the-••••••••acme"
    assert number["webhook_url"] == f"{caller.house.url}/api/v1/webhooks/whatsapp/{number['id']}"
    row = repr(caller.rows("SELECT * FROM numbers"))
    assert TOKEN not in row
    assert SECRET not in row
    sealed = caller.rows("SELECT secrets FROM numbers")
    kept = {name: number[name] for name in NEW if name != "provider"}
    back = (await caller.http.put(f"{NUMBERS}/{number['id']}", json=kept)).json()
    assert back == {**number, "updated_at": back["updated_at"]}
    assert caller.rows("SELECT secrets FROM numbers") == sealed


async def test_a_new_app_secret_leaves_the_old_one_in_force_until_it_is_dropped(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller))['id']}"
    rotated = (await caller.http.put(path, json={"app_secret": "another-secret-of-acme"})).json()
    assert rotated["app_secret"] == "anot••••••••acme"
    assert rotated["old_app_secret"] == "the-••••••••acme"
    dropped = (await caller.http.put(path, json={"old_app_secret": ""})).json()
    assert (dropped["app_secret"], dropped["old_app_secret"]) == (rotated["app_secret"], "")


async def test_a_number_that_cannot_be_is_refused_by_name(caller: Caller) -> None:
    for body, code, param in NO_NUMBERS:
        assert (await refused(caller, "POST", NUMBERS, body))[1:] == (code, param), body
    assert caller.rows("SELECT COUNT(*) FROM numbers") == [(0,)]


async def test_a_number_is_connected_once(caller: Caller) -> None:
    await connected(caller)
    assert await refused(caller, "POST", NUMBERS, NEW) == (409, "conflict", None)


async def test_a_check_asks_the_provider_and_says_what_it_said(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller))['id']}/verify"
    await known_to_meta(caller, "another token")
    wrong = (await caller.http.post(path)).json()
    assert (wrong["state"], wrong["verified_at"]) == ("error", None)
    assert wrong["error"].startswith("190")
    assert TOKEN not in wrong["error"]
    await known_to_meta(caller)
    right = (await caller.http.post(path)).json()
    assert (right["state"], right["error"], right["name"]) == ("connected", None, "Acme Shop")
    assert right["verified_at"] == right["checked_at"]


async def test_a_number_that_another_organisation_has_cannot_be_taken(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller))['id']}/verify"
    await known_to_meta(caller)
    bolt = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="*"))
    async with httpx2.AsyncClient(base_url=caller.house.url, headers={"authorization": f"Bearer {bolt.key}"}) as http:
        theirs = (await http.post(NUMBERS, json=NEW)).json()
        assert (await http.post(f"{NUMBERS}/{theirs['id']}/verify")).json()["state"] == "connected"
        assert await refused(caller, "POST", path) == (409, "conflict", None)
        assert (await http.delete(f"{NUMBERS}/{theirs['id']}")).status_code == 204
    assert (await caller.http.post(path)).json()["state"] == "connected"


async def test_a_number_with_a_past_is_emptied_and_comes_back_as_it_was(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, _ = talk(caller, number)
    queued = await caller.http.post(f"{SEND}/messages", json={"conversation_id": conversation, "text": "Soon."})
    assert (await caller.http.delete(f"{NUMBERS}/{number['id']}")).status_code == 204
    assert caller.rows("SELECT secrets, verify_digest, bot_id, verified_at FROM numbers") == [("", "", None, None)]
    assert (await caller.http.get(f"{NUMBERS}/{number['id']}")).status_code == 404
    assert (await caller.http.get(NUMBERS)).json() == {"data": []}
    sent = (await caller.http.get(f"{SEND}/messages/{queued.json()['message_id']}")).json()
    assert sent["status"] in {"dropped", "failed"}
    again = await connected(caller)
    assert (again["id"], again["created_at"]) == (number["id"], number["created_at"])


async def test_a_number_that_nobody_wrote_to_is_deleted(caller: Caller) -> None:
    number = await connected(caller)
    assert (await caller.http.delete(f"{NUMBERS}/{number['id']}")).status_code == 204
    assert caller.rows("SELECT COUNT(*) FROM numbers") == [(0,)]


async def test_a_wrong_number_can_be_corrected_until_it_is_in_use(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller, phone_number_id='1'))['id']}"
    right = (await caller.http.put(path, json={"phone_number_id": NEW["phone_number_id"]})).json()
    assert right["phone_number_id"] == NEW["phone_number_id"]
    await known_to_meta(caller)
    await caller.http.post(f"{path}/verify")
    assert await refused(caller, "PUT", path, {"phone_number_id": "1"}) == (409, "conflict", None)


async def test_older_settings_are_the_first_number(caller: Caller) -> None:
    path = "/api/v1/settings/whatsapp"
    assert (await caller.http.post(f"{path}/verify")).json() == {"status": "not_configured", "error": None}
    assert (await refused(caller, "PUT", path, {"verify_token": "x"}))[1] == "missing_required_parameter"
    fields = {name: NEW[name] for name in ("phone_number_id", "access_token", "verify_token", "app_secret")}
    put = (await caller.http.put(path, json=fields)).json()
    assert put["access_token"] == "EAAG••••••••acme"
    assert (await caller.http.get(path)).json() == put
    assert (await caller.http.get(NUMBERS)).json()["data"][0]["phone_number_id"] == NEW["phone_number_id"]
    assert (await caller.http.post(f"{path}/verify")).json()["status"] == "error"
    await known_to_meta(caller)
    assert (await caller.http.post(f"{path}/verify")).json() == {"status": "connected", "error": None}
    twilio = {name: value for name, value in TWILIO.items() if name != "provider"}
    shown = (await caller.http.put("/api/v1/settings/twilio", json=twilio)).json()
    assert shown["webhook_url"].endswith("#rc=3&rp=all&ct=2000&rt=4000&tt=15000")
    assert (await caller.http.get("/api/v1/settings/twilio")).json() == shown


async def test_a_bot_answers_at_the_number_that_it_names_whichever_came_first(caller: Caller) -> None:
    config = {"phone_number_id": NEW["phone_number_id"]}
    body = {"type": "whatsapp", "name": "Asha", "system_prompt": "Be kind.", "config": config}
    first = (await caller.http.post("/api/v1/bots", json=body)).json()
    number = await connected(caller)
    assert number["bot_id"] == first["id"]
    second = (await caller.http.post("/api/v1/bots", json=body)).json()
    path = f"{NUMBERS}/{number['id']}"
    assert (await caller.http.get(path)).json()["bot_id"] == second["id"]
    await caller.http.put(f"/api/v1/bots/{second['id']}", json={"config": {}})
    assert (await caller.http.get(path)).json()["bot_id"] is None
    await caller.http.put(path, json={"bot_id": first["id"]})
    await caller.http.delete(f"/api/v1/bots/{first['id']}")
    assert (await caller.http.get(path)).json()["bot_id"] is None


async def test_a_bot_is_told_what_it_lacks(caller: Caller) -> None:
    bot_id = (await caller.http.post("/api/v1/bots", json={"type": "whatsapp", "name": "Asha"})).json()["id"]
    path = f"/api/v1/bots/{bot_id}/deploy/verify"
    report = (await caller.http.post(path)).json()
    assert report["ready"] is False
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["prompt", "number"]
    await caller.http.put(f"/api/v1/bots/{bot_id}", json={"system_prompt": "Be kind.", "config": {"model": "none"}})
    number = await connected(caller, bot_id=bot_id, app_secret="")
    await known_to_meta(caller)
    await caller.http.post(f"{NUMBERS}/{number['id']}/verify")
    report = (await caller.http.post(path)).json()
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["webhook", "model"]
    await caller.http.put(f"/api/v1/bots/{bot_id}", json={"config": {"max_tokens": 100}})
    await caller.http.put(f"{NUMBERS}/{number['id']}", json={"app_secret": SECRET})
    await caller.http.post(f"{NUMBERS}/{number['id']}/verify")
    assert (await caller.http.post(path)).json()["ready"] is True


async def test_what_a_bot_of_whatsapp_cannot_do_is_refused_by_name(caller: Caller) -> None:
    for config, param in NO_CONFIGS:
        body = {"type": "whatsapp", "name": "Asha", "config": config}
        assert (await refused(caller, "POST", "/api/v1/bots", body))[2] == param, config
        assert (await caller.http.post("/api/v1/bots", json={**body, "type": "ivr"})).status_code == 201


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
