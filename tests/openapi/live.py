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

from app.core.identity import new_uuid, now_us
from app.storage import conversations
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Transaction
from app.storage.ledger import broken_tenants
from tests.databases import elsewhere, open_view
from tests.e2e.members import Member, add_member, session_headers
from tests.house import House, open_house

#: Every permission and every scope, and no limit that a test could meet.
KEY: Final[dict[str, Any]] = {"scopes": "*", "rpm": 100_000}
STARTS_S: Final = 30.0
MODEL: Final = "kimi-k2.6"
QUESTION: Final = {"model": MODEL, "messages": [{"role": "user", "content": "[tokens=3]"}]}
Things = dict[str, str]


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
        yield Live(house, owner, _things(house, owner, "Asha"), _things(house, owner, "Ravi"))
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

        bot = make("/api/v1/bots", type="whatsapp", name=name)["id"]
        webhook = make("/api/v1/webhooks", url="https://example.com/hook", events=["message.received"])["id"]
        member = make("/api/v1/users", email=f"{name}@example.com", full_name=name, role="agent")
        make("/v1/images/generations", house.headers, model="lucid-origin", prompt=name)
        image = http.get("/v1/images/history", headers=house.headers).json()["data"][0]
        return {
            "bot_id": bot,
            "conversation_id": _conversation(house, bot),
            "delivery_id": make(f"/api/v1/webhooks/{webhook}/test")["id"],
            "id": make("/v1/chat/completions", house.headers, **QUESTION)["id"],
            "key_id": make("/api/v1/keys", name=name)["id"],
            "model_id": MODEL,
            "token": image["url"].rpartition("/")[2],
            "response_id": make("/v1/responses", house.headers, model=MODEL, input="[tokens=3]", stream=False)["id"],
            "user_id": member["user"]["id"],
            "webhook_id": webhook,
        }


def _conversation(house: House, bot_id: str) -> str:
    """One with a message: channels make them, no operation does."""
    at, tenant = now_us(), house.customer.tenant_id
    talk, said = new_uuid(at), new_uuid(at)

    def write(db: Transaction) -> None:
        row = StoredConversation(talk, bot_id, "whatsapp", "919876543210", "active", None, "{}", True, at, at)
        conversations.insert_conversation(db, tenant, row)
        conversations.insert_message(db, tenant, StoredMessage(said, talk, "user", "Hello", "text", 0, at))

    elsewhere(house.settings.database_url, write)
    return talk
