"""What the tests of intake and sorter share: an organisation with a number and a bot, and a provider that tells."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec
import trio
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # it ships no types

from app.core.identity import new_uuid
from app.core.numbers import VERIFY_CONTEXT, Secrets, secrets_context
from app.core.sealing import Sealer
from app.storage import bots, numbers, webhooks
from app.storage.bots import StoredBot
from app.storage.database import EVERY_TENANT, Database, Row, Transaction
from app.storage.numbers import StoredNumber
from app.storage.webhooks import StoredWebhook
from catalog.catalog import Catalog
from catalog.plans import Plan
from channels.bell import Bell
from channels.inbound.intake import Gate, Intake
from channels.inbound.keeping import divide, keep
from channels.inbound.sorter import Sorter
from channels.whatsapp.updates import Arrival, Message, Person, Update
from tests.books import open_books
from tests.storage.making import DAY_0, make_tenant
from tests.usecases.spending import Clock

SEALER = Sealer("a secret for tests only")
SECOND = 1_000_000
NOW_S = DAY_0 // SECOND
ASHA = Person("+919876543210", "IN.1", name="Asha")
#: The shared secret of the installation's app, and those of each number.
APP_SECRET = "the app's own"
SECRETS = Secrets(
    access_token="token",
    app_secret="number's own",
    old_app_secret="older",
    verify_token="let me in",
    auth_token="12345",
)
PUBLIC_URL = "https://bots.example.com"
PLANS = Catalog.load().plans
#: A message of Twilio's as a form, and the path that it is posted to.
TARGET = "/api/v1/webhooks/twilio/whatsapp?x=%20y"
FORM = {
    **{"MessageSid": "SM1", "AccountSid": "AC1", "From": "whatsapp:+919876543210", "To": "whatsapp:+15550001111"},
    "Body": "नमस्ते",
}


def signature(secret: str, body: bytes) -> str:
    return f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"


def signed_form(form: dict[str, str], target: str = TARGET, token: str = SECRETS.auth_token) -> tuple[bytes, str]:
    """The body of a form, and Twilio's signature of it."""
    body = urlencode(form).encode()
    return body, RequestValidator(token).compute_signature(PUBLIC_URL + target, form)


def text(key: str, words: str = "hello", sender: Person = ASHA, at: int = NOW_S, **more: Any) -> Message:
    return Message(key, at, sender, more.pop("kind", "text"), words, **more)


def add_number(
    db: Transaction,
    tenant_id: str,
    *,
    account: str = "1065",
    provider: str = "meta",
    config: dict[str, Any] | None = None,
    has_bot: bool = True,
    **changes: Any,
) -> StoredNumber:
    """A connected number with a bot of its own."""
    number_id, bot_id = new_uuid(DAY_0), new_uuid(DAY_0)
    encoded = msgspec.json.encode(config or {}).decode()
    bot = StoredBot(bot_id, "whatsapp", "Asha", "Help.", encoded, "", True, DAY_0, DAY_0)
    bots.insert_bot(db, tenant_id, bot)
    number = StoredNumber(
        id=number_id,
        provider=provider,
        account=account,
        business="102" if provider == "meta" else "AC1",
        phone="+15550001111",
        name="Shop",
        bot_id=bot_id if has_bot else None,
        secrets=SEALER.seal(msgspec.json.encode(SECRETS), secrets_context(tenant_id, number_id)),
        verify_digest=SEALER.digest(SECRETS.verify_token, VERIFY_CONTEXT),
        state="connected",
        error="",
        verified_us=DAY_0,
        checked_us=DAY_0,
        autoreply=True,
        per_second=80,
        simulated=False,
        created_us=DAY_0,
        updated_us=DAY_0,
    )._replace(**changes)
    numbers.insert_number(db, tenant_id, number)
    return number


@dataclass
class Mailroom:
    """One organisation's number, and everything between its webhook and the turns of its bot."""

    db: Database
    tenant_id: str
    number: StoredNumber
    clock: Clock = field(default_factory=Clock)
    plans: dict[str, Plan] = field(default_factory=lambda: dict(PLANS))

    def __post_init__(self) -> None:
        self.bell, self.lanes_bell, self.senders_bell = Bell(), Bell(), Bell()
        self.sorter = self.another_sorter()
        gate = Gate((APP_SECRET,), "shared token", PUBLIC_URL)
        self.intake = Intake(self.db, SEALER, gate, bell=self.bell, clock=self.clock)

    def another_sorter(self, db: Database | None = None) -> Sorter:
        bells = {"bell": self.bell, "lanes_bell": self.lanes_bell, "senders_bell": self.senders_bell}
        return Sorter(db or self.db, lambda: self.plans, clock=self.clock, **bells)

    async def bring(self, *updates: Update, number: StoredNumber | None = None) -> int:
        """What a webhook of the number brings; how many of them are new."""
        number = number or self.number
        arrivals = [Arrival(number.account, key_of(update), update) for update in updates]
        brought = divide("meta", arrivals, lambda _: (self.tenant_id, number), self.clock(), url=None)
        new = await keep(self.db, brought, self.clock())
        self.bell.ring()
        return new

    async def sort(self) -> None:
        """Sort what is due, to the last row."""
        while await self.sorter.sort_portion(self.tenant_id):
            pass

    async def tell(self, *updates: Update, number: StoredNumber | None = None) -> None:
        await self.bring(*updates, number=number)
        await self.sort()

    async def rows(self, table: str, columns: str, order: str = "1") -> list[Row]:
        sql = f"SELECT {columns} FROM {table} ORDER BY {order}"  # noqa: S608 - names from the test
        return await self.db.read(EVERY_TENANT, lambda db: db.all(sql))

    async def messages(self, columns: str = "content") -> list[Row]:
        return await self.rows("messages", columns, "seq")

    async def do(self, sql: str, *values: object) -> None:
        await self.db.write(EVERY_TENANT, lambda db: db.do(sql, *values))

    async def listen(self) -> None:
        """A webhook of the organisation that hears everything."""
        hook = StoredWebhook(new_uuid(DAY_0), "https://a.example/", "", "*", True, "", "", 0, DAY_0, DAY_0)
        await self.db.write(self.tenant_id, lambda db: webhooks.insert_webhook(db, self.tenant_id, hook))

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """What it was told: names and data."""
        rows = await self.rows("deliveries", "event, body", "id")
        return [(event, msgspec.json.decode(body)["data"]) for event, body in rows]


def key_of(update: Update) -> str:
    provider_id = getattr(update, "provider_id", None)
    return f"{provider_id}:{update.status}" if provider_id else update.id  # type: ignore[union-attr]  # others have an id


@asynccontextmanager
async def open_mailroom(url: str, **number: Any) -> AsyncIterator[Mailroom]:
    async with open_books(url) as db:
        tenant_id = await db.write(EVERY_TENANT, make_tenant)
        made = await db.write(tenant_id, lambda t: add_number(t, tenant_id, **number))
        yield Mailroom(db, tenant_id, made)


@asynccontextmanager
async def running(*sorters: Sorter) -> AsyncIterator[None]:
    """Sorters at work. Leaving the block kills them."""
    async with trio.open_nursery() as nursery:
        for sorter in sorters:
            nursery.start_soon(sorter.run)
        yield
        nursery.cancel_scope.cancel()


def envelope(*changes: tuple[str, dict[str, Any]], field_name: str = "messages") -> bytes:
    """A body of Meta's with a change for each (account, rest of its value)."""
    entries: Sequence[dict[str, Any]] = [
        {
            "id": "102",
            "changes": [{"field": field_name, "value": {"metadata": {"phone_number_id": account}, **value}}],
        }
        for account, value in changes
    ]
    return msgspec.json.encode({"object": "whatsapp_business_account", "entry": entries})


def meta_text(key: str, words: str = "hello", user: str = "919876543210") -> dict[str, Any]:
    """One message as Meta tells it."""
    return {"id": key, "from": user, "timestamp": str(NOW_S), "type": "text", "text": {"body": words}}
