"""What the tests of senders share: organisations with a number and contacts, and a provider that does as it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

from app.core.errors import Problem
from app.core.identity import new_uuid
from app.providers.whatsapp.line import Checked, Content, File, FileWanted, Letter, Sent, TextContent, Undelivered
from app.storage import bots, contacts, conversations, numbers, sends
from app.storage.bots import StoredBot
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Database, Engine, Job, Ticket, Transaction, open_database
from app.storage.engines import open_engine, sqlite_path
from app.storage.migrations import migrate
from app.storage.numbers import StoredNumber
from app.storage.sends import NewSend
from app.storage.sqlite import SqliteTransaction, connect
from channels.bell import Bell
from channels.conversations import contents
from channels.outbound.senders import Senders
from channels.outbound.taking import Idle, Taken, idle, take
from tests.storage.making import DAY_0, make_tenant

T = TypeVar("T")
SECOND = 1_000_000
HOUR = 3600 * SECOND
LEASE = 40 * SECOND


@dataclass
class Shop:
    """One organisation: a bot, a number, and one user in one conversation; more on demand."""

    tenant_id: str
    bot_id: str
    number_id: str
    conversation_id: str = ""
    contact_id: str = ""
    made: int = 0

    def open(self, db: Transaction, *, window_us: int = DAY_0 + 24 * HOUR, phone: str = "+919876543210") -> str:
        """A conversation with another user, who becomes the current one; its id."""
        self.contact_id, self.conversation_id = new_uuid(DAY_0), new_uuid(DAY_0)
        contact = StoredContact(
            *(self.contact_id, self.number_id, "IN.1", phone, "Asha", self.conversation_id, window_us),
            *(None, 0, 0, 0, "{}", DAY_0, DAY_0),
        )
        contacts.insert_contact(db, self.tenant_id, contact)
        conversation = StoredConversation(
            *(self.conversation_id, self.bot_id, "whatsapp", phone, "active", None, "{}", True, DAY_0, DAY_0),
            number_id=self.number_id,
            contact_id=self.contact_id,
        )
        conversations.insert_conversation(db, self.tenant_id, conversation)
        return self.conversation_id

    def say(
        self,
        db: Transaction,
        *parts: str | Content,
        origin: Any = "reply",
        at_us: int = DAY_0,
        turn_id: str = "",
        state: Any = "queued",
    ) -> list[str]:
        """A message of so many parts in the current conversation; ids of the parts."""
        self.made += 1
        message_id = new_uuid(at_us)
        seq = at_us * 1000 + self.made * 100
        message = StoredMessage(
            *(message_id, self.conversation_id, "assistant", "hello", "text", 0, at_us),
            status="queued",
            seq=seq,
        )
        conversations.insert_message(db, self.tenant_id, message)
        ids = []
        for number, part in enumerate(parts):
            kind, body = contents.write(TextContent(part) if isinstance(part, str) else part)
            ids.append(new_uuid(at_us))
            send = NewSend(
                *(ids[-1], seq + number, self.number_id, self.contact_id, self.conversation_id, message_id),
                *(turn_id or message_id, number + 1, origin, kind, body, state),
            )
            sends.insert(db, self.tenant_id, send, at_us)
        return ids

    def take(self, db: Transaction, at_us: int = DAY_0) -> Taken | Idle:
        return take(db, self.tenant_id, self.number_id, at_us, at_us + LEASE)

    def idle(self, db: Transaction, at_us: int = DAY_0) -> Idle | None:
        return idle(db, self.tenant_id, self.number_id, at_us)

    def take_one(self, db: Transaction, at_us: int = DAY_0) -> Taken:
        taken = self.take(db, at_us)
        assert isinstance(taken, Taken), taken
        return taken

    def take_nothing(self, db: Transaction, at_us: int = DAY_0) -> int:
        """When to look again; looks on as long as there may be something."""
        for _ in range(20):
            idle = self.take(db, at_us)
            assert isinstance(idle, Idle), idle
            if idle.until_us > at_us:
                return idle.until_us
        raise AssertionError("there is no end to it")

    def rows(self, db: Transaction, columns: str = "state") -> list[Any]:
        """Of all sends in their order; of one column its values."""
        found = db.all(f"SELECT {columns} FROM sends WHERE tenant_id = ? ORDER BY seq", self.tenant_id)  # noqa: S608
        return [row[0] for row in found] if "," not in columns else found

    def messages(self, db: Transaction, column: str = "status") -> list[Any]:
        found = db.all(f"SELECT {column} FROM messages WHERE tenant_id = ? ORDER BY seq", self.tenant_id)  # noqa: S608
        return [row[0] for row in found]

    def flag(self, db: Transaction) -> str:
        found = conversations.find_conversation(db, self.tenant_id, self.conversation_id)
        assert found is not None
        return found.flag

    def set(self, db: Transaction, table: str, id_: str, **values: object) -> None:
        places = ", ".join(f"{name} = ?" for name in values)
        db.do(f"UPDATE {table} SET {places} WHERE tenant_id = ? AND id = ?", *values.values(), self.tenant_id, id_)  # noqa: S608


def open_shop(db: Transaction, name: str = "Acme", *, config: dict[str, Any] | None = None, **number: Any) -> Shop:
    tenant_id = make_tenant(db, name, credit=10_000_000)
    shop = Shop(tenant_id, new_uuid(DAY_0), new_uuid(DAY_0))
    encoded = msgspec.json.encode(config or {}).decode()
    bot = StoredBot(shop.bot_id, "whatsapp", "Bot", "Help.", encoded, "", True, DAY_0, DAY_0)
    bots.insert_bot(db, tenant_id, bot)
    stored = StoredNumber(
        *(shop.number_id, "meta", shop.number_id, "", "+15550001", "Shop", shop.bot_id, "sealed", "", "connected", ""),
        *(DAY_0, DAY_0, True, 80, False, DAY_0, DAY_0),
    )
    numbers.insert_number(db, tenant_id, stored._replace(**number))
    shop.open(db)
    return shop


Act = Callable[[Letter], Awaitable[Sent]]


async def take_it(letter: Letter) -> Sent:
    return Sent(f"wamid.{letter.reference}")


@dataclass
class Provider:
    """Every number's line at once; `act` says what becomes of a letter."""

    act: Act = take_it
    #: What `find` says, or raises.
    found: Sent | Undelivered | Exception | None = None
    letters: list[Letter] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    upload_act: Callable[[bytes], Awaitable[str]] | None = None
    #: Letters under way by number, and the most there ever were.
    now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    #: Times at which letters came.
    times: list[float] = field(default_factory=list)
    sealed: set[str] = field(default_factory=set)

    def of(self, _tenant_id: str, number: StoredNumber) -> _Line:
        if number.id in self.sealed:
            raise Problem("conflict", "Its secrets cannot be read: enter them again.")
        return _Line(self, number.id)

    @property
    def texts(self) -> list[str]:
        return [letter.content.body for letter in self.letters if isinstance(letter.content, TextContent)]


@dataclass
class _Line:
    provider: Provider
    number_id: str

    async def send(self, letter: Letter) -> Sent:
        provider = self.provider
        provider.letters.append(letter)
        provider.times.append(trio.current_time())
        provider.now[self.number_id] += 1
        provider.most[self.number_id] = max(provider.most[self.number_id], provider.now[self.number_id])
        try:
            return await provider.act(letter)
        finally:
            provider.now[self.number_id] -= 1

    async def upload(self, data: bytes, media_type: str, name: str) -> str:
        self.provider.uploads.append(data)
        return "media-1" if self.provider.upload_act is None else await self.provider.upload_act(data)

    async def find(self, letter: Letter, since_s: float) -> Sent | Undelivered | None:
        if isinstance(self.provider.found, Exception):
            raise self.provider.found
        return self.provider.found

    async def show_typing(self, message_id: str) -> None:
        raise AssertionError("senders do not type")

    async def fetch(self, wanted: FileWanted, cap: int) -> File:
        raise AssertionError("senders fetch nothing")

    async def check(self) -> Checked:
        raise AssertionError("senders check nothing")

    async def belongs_to(self, business: str) -> bool:
        raise AssertionError("senders prove nothing")


class OnTheLoop:
    """SQLite without a thread, so that a virtual clock sees everything there is to wait for."""

    always_durable = False

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._reader = connect(path, query_only=True)

    async def read(self, _scope: str, job: Job[T]) -> T:
        return job(SqliteTransaction(self._reader))

    def close(self) -> None:
        self._reader.close()
        self._engine.close()

    async def commit(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.durable = False
        await self._engine.commit(tickets)


@dataclass
class Street:
    """A database and its shops, a provider, and the clocks, which all show one time."""

    db: Database
    url: str
    provider: Provider
    start: float

    def clock(self) -> int:
        return DAY_0 + int((trio.current_time() - self.start) * SECOND)

    async def do(self, job: Callable[[Transaction], Any]) -> Any:
        return await self.db.write("*", job)

    def senders(self, db: Database | None = None, **more: Any) -> Senders:
        bell = more.pop("bell", None) or Bell()
        return Senders(db or self.db, self.provider, bell=bell, clock=self.clock, jitter=lambda: 1.0, **more)


@asynccontextmanager
async def open_street(url: str, *, virtual: bool = True) -> AsyncIterator[Street]:
    async with open_other(url, virtual=virtual) as db:
        yield Street(db, url, Provider(), trio.current_time())


@asynccontextmanager
async def open_other(url: str, *, virtual: bool = True) -> AsyncIterator[Database]:
    """A process of its own on the database."""
    engine: Engine = await open_engine(url, synchronous="NORMAL", deadline_s=5.0)
    path = sqlite_path(url)
    if virtual and path is not None:
        engine = OnTheLoop(engine, path)
    async with open_database(engine) as db:
        await migrate(db)
        yield db


@asynccontextmanager
async def running(*services: Senders) -> AsyncIterator[trio.Event]:
    """The services at work; gives the event that asks them to stop. Leaving the block kills them."""
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        for service in services:
            nursery.start_soon(service.run, shutdown, trio.Event())
        yield shutdown
        nursery.cancel_scope.cancel()


def events(db: Transaction, tenant_id: str) -> Sequence[tuple[str, dict[str, Any]]]:
    """What webhooks are told, oldest first."""
    rows = db.all("SELECT event, body FROM deliveries WHERE tenant_id = ? ORDER BY created_at, id", tenant_id)
    return [(row[0], msgspec.json.decode(row[1])["data"]) for row in rows]


async def states(street: Street, shop: Shop, columns: str = "state") -> list[object]:
    """These columns of what the shop sends, oldest first."""
    found: list[object] = await street.db.read("*", lambda db: shop.rows(db, columns))
    return found
