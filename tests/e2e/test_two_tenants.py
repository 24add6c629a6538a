"""No sequence of calls by one tenant reads, changes, cancels, replays or learns the existence of anything of another.

Acme has one of everything. Bolt, with every scope and every role, sends random sequences of every operation there is,
with Acme's ids, names, cursors and idempotency keys in every place where one fits. After each sequence Acme's rows are
what they were; no answer held a word or an id of Acme's; and each request that named something of Acme's was answered
byte for byte as the same request with an id that nobody has.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from unittest.mock import MagicMock

import httpx2
import msgspec
import pytest
from msgspec import inspect

from app.api.app import PLATFORM
from app.api.operation import Operation
from app.core.identity import new_uuid, now_us
from app.storage import bots, conversations, keys
from app.storage.bots import StoredBot
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Row, Transaction
from tests.api.routes import FORMS, GOOD, ROUTES
from tests.databases import ON_BOTH, open_view
from tests.e2e.any_body import any_value
from tests.e2e.calling import Caller, elsewhere, open_caller, question
from tests.e2e.members import Member, add_member, session_headers
from tests.e2e.speaking import recording
from tests.house import SECRET, Customer, add_customer
from tests.storage.business import table_names

pytestmark = ON_BOTH
#: A word that is in everything that Acme wrote, and in nothing else.
MARK: Final = "zebra-7f3a"
IDEMPOTENCY_KEY: Final = f"{MARK}-retry"
CALLS: Final = int(os.environ.get("TENANT_CALLS", "250"))
SEEDS: Final = range(int(os.environ.get("TENANT_SEEDS", "1")))
PLATFORM_OPERATIONS: Final = [each for area in PLATFORM for each in area(MagicMock()).operations]
#: Platform operations whose answers differ from one time to the next whoever asks: throttled, or naming the time.
UNEVEN: Final = ("/api/v1/auth/", "/api/v1/status")
UUID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
REQUEST_ID: Final = re.compile(r"req_[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of Bolt's; `theirs` are the ids of Acme's in it."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    theirs: frozenset[str] = frozenset()

    @property
    def swap(self) -> dict[str, str]:
        return {each: _nobodys(each) for each in self.theirs}

    def with_nobodys(self) -> Asked:
        """The same with ids that nobody has, of the same length."""
        swap = self.swap
        body = msgspec.json.decode(_swapped(msgspec.json.encode(self.body).decode(), swap))
        query = {name: _swapped(value, swap) for name, value in self.query.items()}
        return Asked(self.method, _swapped(self.path, swap), query, body, self.headers)


def _nobodys(real: str) -> str:
    """An id of the same shape; the time in it stays."""
    return real[:-12] + "".join("0" if each != "0" else "1" for each in real[-12:])


def _swapped(text: str, swap: dict[str, str]) -> str:
    for real, other in swap.items():
        text = text.replace(real, other)
    return text


class Bolt:
    """Makes requests up, and sends them as somebody of the other tenant."""

    def __init__(self, caller: Caller, who: Customer, chance: Random) -> None:
        self.caller = caller
        self.who = who
        self.chance = chance
        self.member = self._log_in()
        self.theirs = acmes_ids(caller)
        self.named: set[str] = set()

    def _log_in(self) -> Member:
        return add_member(self.caller.house, "admin", tenant_id=self.who.tenant_id)

    def anything(self) -> Asked:
        """Any operation of the platform, or of the API itself, with things of Acme's in it."""
        self.named = set()
        if self.chance.random() < 0.7:
            return self._platform(self.chance.choice(PLATFORM_OPERATIONS))
        return self._direct(self.chance.choice([each for each in ROUTES if "/api/v1" not in each[1]]))

    def _platform(self, operation: Operation) -> Asked:
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: self._id(found[1]), operation.path)
        body = self._value(operation.body) if operation.body else None
        query = self._value(operation.query) if operation.query else {}
        texts = {name: str(value) for name, value in query.items() if value is not None}
        return Asked(operation.method, path, texts, body, {}, frozenset(self.named))

    def _direct(self, route: tuple[str, str]) -> Asked:
        method, rule = route
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: self._id(found[1]), rule)
        body: Any = GOOD.get(rule) and dict(GOOD[rule])
        if rule == "/v1/responses":
            body["previous_response_id"] = self._id("response_id")
        headers = {"idempotency-key": IDEMPOTENCY_KEY} if self.chance.random() < 0.3 else {}
        query = {"id": self._id("call_id"), "before": self._id("id"), "after": self._id("id")}
        return Asked(method, path, query, body, headers, frozenset(self.named))

    def _value(self, wire_type: type) -> Any:
        return any_value(inspect.type_info(wire_type), self.chance, self._string)

    def _string(self, name: str) -> str | None:
        """An id where one is wanted, a cursor of Acme's, or what Acme calls its own things."""
        if name.endswith("_id") or name in ("id", "previous_response_id"):
            return self._id(name)
        if name in ("before", "after"):
            return self.chance.choice(["", f"2026-11-22T00:00:00Z_{self._id('id')}"])
        if name in ("name", "email", "organisation", "token") and self.chance.random() < 0.3:
            return f"bolt-{self.chance.randrange(10**9)}"
        return None

    def _id(self, name: str) -> str:
        """Mostly Acme's, of that kind where there is one; else of any kind; else Bolt's or nobody's."""
        kind = [each for column, each in self.theirs if column == name] or [each for _, each in self.theirs]
        if self.chance.random() < 0.8:
            chosen = self.chance.choice(kind)
            self.named.add(chosen)
            return chosen
        return self.chance.choice([self.member.user_id, self.who.key_id, new_uuid(now_us()), "x"])

    def credential(self, asked: Asked) -> dict[str, str]:
        """A session or a key, whichever the dice say."""
        if asked.path.startswith("/api/v1") and self.chance.random() < 0.7:
            return session_headers(self.caller.house, self.member)
        return {"authorization": f"Bearer {self.who.key}"}

    def renew(self, reply: httpx2.Response) -> None:
        """Bolt ends its own sessions and keys, too: then it gets new ones."""
        if reply.status_code == 401:
            self.member = self._log_in()
            self.who = elsewhere(self.caller.house, lambda db: add_key(db, self.who.tenant_id))


async def send(http: httpx2.AsyncClient, asked: Asked, credential: dict[str, str]) -> httpx2.Response:
    sent: dict[str, Any] = {"json": asked.body}
    if asked.path in FORMS:
        sent = {"data": FORMS[asked.path], "files": {"file": ("a.wav", recording(), "audio/wav")}}
    headers = asked.headers | credential
    return await http.request(asked.method, asked.path, params=asked.query, headers=headers, **sent)


def add_key(db: Transaction, tenant_id: str) -> Customer:
    name = f"again {now_us()}"
    key_id, key = keys.create_key(db, tenant_id, SECRET.encode(), keys.KeySettings(name, scopes="*"), now_us())
    return Customer(tenant_id, key_id, key)


async def furnish(caller: Caller, owner: Member) -> None:
    """One of everything for Acme, each with its mark."""
    http, by_key = caller.http, caller.house.headers
    http.headers.pop("authorization")
    by_session = session_headers(caller.house, owner)

    async def make(path: str, body: Any, headers: dict[str, str], **more: str) -> None:
        reply = await http.post(path, json=body, headers=headers | more)
        assert reply.status_code in (200, 201), (path, reply.text)

    await make("/v1/chat/completions", question(MARK), by_key, **{"idempotency-key": IDEMPOTENCY_KEY})
    await make("/v1/responses", {"model": "kimi-k2.6", "input": MARK}, by_key)
    await make("/v1/images/generations", {"model": "lucid-origin", "prompt": MARK}, by_key)
    await make("/v1/search", {"query": MARK}, by_key)
    await make("/api/v1/bots", {"type": "whatsapp", "name": MARK, "system_prompt": MARK}, by_key)
    await make("/api/v1/webhooks", {"url": f"https://example.com/{MARK}", "events": ["*"]}, by_session)
    await make("/api/v1/keys", {"name": MARK}, by_session)
    await make("/api/v1/users", {"email": f"{MARK}@example.com", "full_name": MARK, "role": "agent"}, by_session)
    elsewhere(caller.house, lambda db: talk(db, owner.tenant_id))


def talk(db: Transaction, tenant_id: str) -> None:
    at = now_us()
    bot_id, conversation_id = new_uuid(at), new_uuid(at)
    bots.insert_bot(db, tenant_id, StoredBot(bot_id, "ivr", MARK, MARK, "{}", "", True, at, at))
    row = StoredConversation(conversation_id, bot_id, "whatsapp", MARK, "active", None, "{}", True, at, at)
    conversations.insert_conversation(db, tenant_id, row)
    message = StoredMessage(new_uuid(at), conversation_id, "user", MARK, "text", 1, at)
    conversations.insert_message(db, tenant_id, message)


def rows_of(caller: Caller, tenant_id: str) -> dict[str, list[Row]]:
    """Every row of a tenant, by table."""
    found = {}
    with open_view(caller.house.settings.database_url) as db:
        for table in table_names(db):
            column = "id" if table == "tenants" else "tenant_id"
            if column in columns_of(db, table):
                sql = f"SELECT * FROM {table} WHERE {column} = ?"  # noqa: S608
                found[table] = sorted(db.all(sql, tenant_id), key=repr)
    return found


def columns_of(db: Transaction, table: str) -> list[str]:
    if db.engine == "sqlite":
        return [row[0] for row in db.all("SELECT name FROM pragma_table_info(?)", table)]
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = ? ORDER BY ordinal_position"
    return [row[0] for row in db.all(sql, table)]


def acmes_ids(caller: Caller) -> list[tuple[str, str]]:
    """(the name of a variable that takes it, id) of everything that Acme has."""
    tenant = caller.house.customer.tenant_id
    singular = {
        **{"api_keys": "key_id", "users": "user_id", "bots": "bot_id", "conversations": "conversation_id"},
        **{"webhooks": "webhook_id", "deliveries": "delivery_id", "sessions": "session_id", "calls": "call_id"},
        **{"responses": "response_id"},
    }
    ids = []
    with open_view(caller.house.settings.database_url) as db:
        for table, rows in rows_of(caller, tenant).items():
            names = columns_of(db, table)
            if "id" in names:
                ids += [(singular.get(table, table), str(row[names.index("id")])) for row in rows]
    return ids


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": "*"}, drain_s=1.0) as opened:
        yield opened


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_bolt_does_acme_stays_as_it_was_and_unseen(caller: Caller, seed: int) -> None:
    owner = add_member(caller.house, "owner", email=f"{MARK}-owner@example.com")
    await furnish(caller, owner)
    who = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="*"))
    elsewhere(caller.house, lambda db: db.run("UPDATE tenants SET plan = 'enterprise' WHERE id = ?", who.tenant_id))
    bolt = Bolt(caller, who, Random(seed))
    before = rows_of(caller, owner.tenant_id)
    hidden = {each for _, each in bolt.theirs} | {owner.tenant_id}
    answered: dict[int, int] = {}
    async with httpx2.AsyncClient(base_url=caller.house.url, timeout=20) as http:
        for _ in range(CALLS):
            asked = bolt.anything()
            credential = bolt.credential(asked)
            reply = await send(http, asked, credential)
            answered[reply.status_code] = answered.get(reply.status_code, 0) + 1
            told = reply.text + repr(reply.headers)
            seen = [each for each in hidden - asked.theirs if each in told]
            assert MARK not in told.replace(IDEMPOTENCY_KEY, ""), (asked, told)
            assert not seen, (asked, told)
            assert reply.status_code < 500 or reply.status_code == 501, (asked, told)
            comparable = not asked.headers and not asked.path.startswith(UNEVEN)
            if asked.theirs and comparable and reply.status_code >= 400:
                other = await send(http, asked.with_nobodys(), credential)
                assert blurred(other, {}) == blurred(reply, asked.swap), (asked, told)
            bolt.renew(reply)
    after = rows_of(caller, owner.tenant_id)
    assert {table: rows for table, rows in after.items() if rows != before[table]} == {}
    assert {200, 404} <= answered.keys()


def blurred(reply: httpx2.Response, swap: dict[str, str]) -> tuple[int, str]:
    """What a reply says, but for new ids; an id that was sent may come back as it was sent."""
    text = REQUEST_ID.sub("req", _swapped(reply.text, swap))
    return reply.status_code, UUID.sub("id", text)
