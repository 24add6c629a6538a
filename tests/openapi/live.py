"""A gateway in a thread of its own, for tools that block: a rich organisation, its owner's session, and its things."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NoReturn

import httpx2
import trio

from app.core.identity import new_id, new_uuid, now_us
from app.core.times import DAY_US
from app.storage import contacts, conversations, dead_letters, media
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Transaction
from app.storage.dead_letters import DeadLetter
from app.storage.ledger import broken_tenants
from app.storage.media import StoredMedia
from app.switchboard import MEDIA
from channels.inbound.letters import letter_body
from tests.databases import elsewhere, open_view
from tests.e2e.members import Member, add_member, session_headers
from tests.house import House, open_house

#: Every permission and every scope, and no limit that a test could meet.
KEY: Final[dict[str, Any]] = {"scopes": "*", "rpm": 100_000}
STARTS_S: Final = 30.0
MODEL: Final = "kimi-k2.6"
QUESTION: Final = {"model": MODEL, "messages": [{"role": "user", "content": "[tokens=3]"}]}
Things = dict[str, str]
#: Whose number knows the phone that the document's examples send to.
FIRST: Final = "Asha"
TOKEN: Final = "EAAG-of-the-tests"
PHONE: Final = "+919876543210"


@dataclass(frozen=True, slots=True)
class Live:
    """`things` and `spares` are ids of what there is, by the name of the parameter that takes them."""

    house: House
    owner: Member
    things: Things
    spares: Things

    @property
    def session(self) -> dict[str, str]:
        return session_headers(self.house, self.owner)

    def make_things(self, name: str) -> Things:
        """One more of each thing, to be done away with."""
        return _things(self.house, self.owner, name)

    def books(self) -> tuple[int, list[str]]:
        """Open holds, and the tenants whose books do not balance."""
        with open_view(self.house.settings.database_url) as db:
            row = db.one("SELECT COUNT(*) FROM calls WHERE state = 'held'")
            return (row or (0,))[0], broken_tenants(db)


class NoNames(trio.abc.HostnameResolver):
    """Webhooks with the addresses of examples must not make a test look outside."""

    async def getaddrinfo(self, host: bytes | None, port: Any, *_: int) -> NoReturn:
        raise OSError(f"no test looks up {host!r}")

    async def getnameinfo(self, sockaddr: Any, flags: int) -> NoReturn:
        raise OSError(f"no test looks up {sockaddr}")


@contextmanager
def open_live(folder: Path) -> Iterator[Live]:
    """Serve until the block ends. Raises whatever ends the gateway earlier."""
    ready: SimpleQueue[tuple[House, trio.lowlevel.TrioToken, trio.Event] | BaseException] = SimpleQueue()

    async def serve() -> None:
        trio.socket.set_custom_hostname_resolver(NoNames())
        stop = trio.Event()
        async with open_house(folder, customer=KEY) as house:
            ready.put((house, trio.lowlevel.current_trio_token(), stop))
            await stop.wait()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
            ready.put(error)

    thread = threading.Thread(target=run, name="gateway", daemon=True)
    thread.start()
    served = ready.get(timeout=STARTS_S)
    if isinstance(served, BaseException):
        raise served
    house, token, stop = served
    try:
        owner = add_member(house)
        yield Live(house, owner, _things(house, owner, FIRST), _things(house, owner, "Ravi"))
    finally:
        token.run_sync_soon(stop.set)
        thread.join(STARTS_S)
    if not ready.empty():
        raise RuntimeError(f"the gateway fell: {ready.get()!r}")


def _things(house: House, owner: Member, name: str) -> Things:
    """One of each thing that operations act upon, made as its owner makes it."""
    with httpx2.Client(base_url=house.url, timeout=10) as http:
        session = session_headers(house, owner)

        def make(path: str, headers: dict[str, str] = session, **body: Any) -> dict[str, Any]:
            reply = http.post(path, json=body, headers=headers)
            assert reply.is_success, f"{path}: {reply.text}"
            made: dict[str, Any] = reply.json()
            return made

        bot = make("/api/v1/bots", type="whatsapp", name=name, system_prompt="Be kind.")["id"]
        account = str(int.from_bytes(name.encode()[-8:], "big"))
        opened: dict[str, Any] = {"phone_number_id": account, "access_token": TOKEN}
        number = make("/api/v1/whatsapp/numbers", provider="meta", bot_id=bot, **opened)["id"]
        phone = PHONE if name == FIRST else f"+91{account[-10:]}"
        known = {"provider": "meta", "phone": f"+1{account[-10:]}", "account": account, "token": TOKEN}
        assert http.post(f"{house.simulator_url}/whatsapp/numbers", json=known).is_success
        said = {"account": account, "from": {"phone": phone}, "messages": [{"text": "Hello"}]}
        assert http.post(f"{house.simulator_url}/whatsapp/say", json=said).is_success
        conversation, message = _talk(house, bot, number, phone)
        webhook = make("/api/v1/webhooks", url="https://example.com/hook", events=["message.received"])["id"]
        member = make("/api/v1/users", email=f"{name}@example.com", full_name=name, role="agent")
        make("/v1/images/generations", house.headers, model="lucid-origin", prompt=name)
        image = http.get("/v1/images/history", headers=house.headers).json()["data"][0]
        return {
            "bot_id": bot,
            "conversation_id": conversation,
            "delivery_id": make(f"/api/v1/webhooks/{webhook}/test")["id"],
            "id": make("/v1/chat/completions", house.headers, **QUESTION)["id"],
            "letter_id": _letter(house, number, account),
            "message_id": message,
            "number_id": number,
            "key_id": make("/api/v1/keys", name=name)["id"],
            "model_id": MODEL,
            "token": image["url"].rpartition("/")[2],
            "response_id": make("/v1/responses", house.headers, model=MODEL, input="[tokens=3]", stream=False)["id"],
            "user_id": member["user"]["id"],
            "webhook_id": webhook,
        }


def _letter(house: House, number_id: str, account: str) -> str:
    """Something that came for the number and could not be used: a webhook's body makes such, no operation does."""
    at, tenant = now_us(), house.customer.tenant_id
    body = letter_body(account, new_uuid(at), '{"type":"notice","field":"account_alerts","value":{}}')
    letter = DeadLetter(new_uuid(at), number_id, "meta", account, "no bot", body, at)
    elsewhere(house.settings.database_url, lambda db: dead_letters.bury(db, tenant, letter))
    return letter.id


def _talk(house: House, bot_id: str, number_id: str, phone: str) -> tuple[str, str]:
    """A conversation whose user has just written, and our answer with a file: channels make them, no operation does."""
    at, tenant = now_us(), house.customer.tenant_id
    talk, contact, said, answer = (new_uuid(at) for _ in range(4))
    file = StoredMedia(new_id("med_", at), answer, "text/plain", 2, "", "hi.txt", at)

    def write(db: Transaction) -> None:
        window = at + DAY_US
        person = StoredContact(contact, number_id, "", phone, "", talk, window, None, 0, 0, 0, "{}", at, at)
        contacts.insert_contact(db, tenant, person)
        contacts.set_alias(db, tenant, number_id, f"p:{phone}", contact)
        row = StoredConversation(talk, bot_id, "whatsapp", phone, "active", None, "{}", True, at, at)
        conversations.insert_conversation(db, tenant, row._replace(number_id=number_id, contact_id=contact))
        conversations.insert_message(db, tenant, StoredMessage(said, talk, "user", "Hello", "text", 0, at))
        ours = StoredMessage(answer, talk, "assistant", "Hi", "document", 0, at + 1, "delivered", author="bot")
        conversations.insert_message(db, tenant, ours)
        media.insert_media(db, tenant, file)

    elsewhere(house.settings.database_url, write)
    path = Path(house.settings.blob_dir, MEDIA, tenant, file.id[4:8], file.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("hi")
    return talk, answer
