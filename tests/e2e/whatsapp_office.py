"""What the tests of the platform API for channels share: numbers to connect, bots, and somebody who wrote to one."""

from __future__ import annotations

from typing import Any, Final

import httpx2
import msgspec

from app.core.identity import new_uuid, now_us
from app.storage import bots, contacts, conversations
from app.storage.bots import StoredBot
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Transaction
from tests.e2e.calling import Caller, Json, elsewhere

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
#: What the customer's key may do.
SCOPES: Final = (
    "settings:read,settings:write,whatsapp:send,whatsapp:read,bots:read,bots:write,"
    "conversations:read,conversations:write"
)


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
