"""A conversation on which turns can be played: a real database and meter, a model and a line that obey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from app.core.billing import Bill
from app.core.bot_config import BotConfig
from app.core.call_facts import Marks
from app.core.errors import UpstreamError
from app.core.identity import Principal, new_uuid
from app.observability.channels import ChannelMetrics
from app.providers.receivers import Answer as HookAnswer
from app.providers.whatsapp.line import Checked, File, FileWanted, Letter, Sent
from app.storage import bots, contacts, conversations, lanes, numbers
from app.storage.bots import StoredBot
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import EVERY_TENANT, Database, Row
from app.storage.numbers import StoredNumber
from app.usecases.meter import Ask, Meter
from channels.answering.asking import Answer, Settling, ToolCall
from channels.answering.lanes import Nudge
from channels.answering.replying import Replier, ReplyServices
from channels.answering.tools import Tools
from channels.answering.turns import Turns, TurnServices
from channels.bell import Bell
from tests.books import PLENTY, open_books
from tests.e2e.calling import until
from tests.storage.making import DAY_0, make_tenant
from tests.usecases.spending import Clock

COST = 70
SECOND_US = 1_000_000
Script = Callable[[dict[str, Any]], Awaitable[tuple[str, list[ToolCall]]]]


async def say_hello(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
    return "Hello!", []


class ScriptedLine:
    """Notes what users would see while an answer is made; has no files."""

    def __init__(self) -> None:
        self.typing: list[str] = []

    async def send(self, letter: Letter) -> Sent:
        raise NotImplementedError

    async def show_typing(self, message_id: str) -> None:
        self.typing.append(message_id)

    async def fetch(self, wanted: FileWanted, cap: int) -> File:
        raise NotImplementedError

    async def upload(self, data: bytes, media_type: str, name: str) -> str:
        raise NotImplementedError

    async def check(self) -> Checked:
        raise NotImplementedError

    async def belongs_to(self, business: str) -> bool:
        raise NotImplementedError

    async def find(self, letter: Letter, since_s: float) -> Sent | None:
        raise NotImplementedError


@dataclass
class Hooks:
    """The tenant's own functions: what they were asked, and what they answer."""

    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answer: HookAnswer = field(default_factory=lambda: HookAnswer(200, b'{"price": 5}'))

    async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> HookAnswer:
        self.posted.append((url, {name.decode(): value.decode() for name, value in headers}, body))
        return self.answer


class NoVoice:
    async def finish(self, tenant_id: str, conversation_id: str) -> None:
        """Nothing is spoken here."""


@dataclass
class Stage:
    """One process at one conversation."""

    db: Database
    tenant_id: str
    script: Script = say_hello
    config: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    line: ScriptedLine = field(default_factory=ScriptedLine)
    hooks: Hooks = field(default_factory=Hooks)
    metrics: ChannelMetrics = field(default_factory=ChannelMetrics)
    #: What the model was asked, in order.
    asked: list[dict[str, Any]] = field(default_factory=list)
    number_id: str = field(default_factory=partial(new_uuid, DAY_0))
    bot_id: str = field(default_factory=partial(new_uuid, DAY_0))
    contact_id: str = field(default_factory=partial(new_uuid, DAY_0))
    conversation_id: str = field(default_factory=partial(new_uuid, DAY_0))
    arrived: int = 0
    voiced: frozenset[str] = frozenset({"meta"})
    #: Without any only texts are understood.
    ears: Any = None

    def __post_init__(self) -> None:
        self.meter = Meter(self.db, clock=self.clock)

    async def furnish(self) -> None:
        bot = StoredBot(self.bot_id, "whatsapp", "Asha", "Be kind.", self._config(), "", True, DAY_0, DAY_0)
        number = StoredNumber(
            *(self.number_id, "meta", "1065", "waba", "+15550783881", "Asha & Co", self.bot_id, "", "", "connected"),
            *("", DAY_0, DAY_0, True, 80, False, DAY_0, DAY_0),
        )
        contact = StoredContact(
            *(self.contact_id, self.number_id, "US.1", "+919876543210", "Ravi", self.conversation_id),
            window_us=DAY_0 + 86_400 * SECOND_US,
            opted_out_us=None,
            tat_us=0,
            paused_us=0,
            backoff=0,
            notices="{}",
            created_us=DAY_0,
            updated_us=DAY_0,
        )
        conversation = StoredConversation(
            *(self.conversation_id, self.bot_id, "whatsapp", "+919876543210", "active", None, "{}", True, DAY_0, DAY_0),
            number_id=self.number_id,
            contact_id=self.contact_id,
        )

        def write(db: Any) -> None:
            bots.insert_bot(db, self.tenant_id, bot)
            numbers.insert_number(db, self.tenant_id, number)
            contacts.insert_contact(db, self.tenant_id, contact)
            conversations.insert_conversation(db, self.tenant_id, conversation)

        await self.db.write(self.tenant_id, write)

    async def hear(self, text: str, kind: str = "text", **details: Any) -> str:
        """A user's message arrives and the lane is due; its id."""
        self.arrived += 1
        message_id, at = new_uuid(self.clock.now), self.clock.now
        message = StoredMessage(
            *(message_id, self.conversation_id, "user", text, kind, 0, at, "", at * 1000 + self.arrived, at),
            *(f"wamid.{self.arrived}", "contact", "", "", "open", msgspec.json.encode(details).decode()),
        )

        def write(db: Any) -> None:
            conversations.insert_message(db, self.tenant_id, message)
            lanes.touch(db, self.tenant_id, self.conversation_id, at, 0, 0)

        await self.db.write(self.tenant_id, write)
        return message_id

    async def play(self, owner: str = "a", nudge: Nudge | None = None) -> int:
        """Run what is due, as the service of a process does."""
        tenant_id, conversation_id, at = self.tenant_id, self.conversation_id, self.clock.now
        lease_us = at + 60 * SECOND_US
        claimed = await self.db.write(
            tenant_id, lambda db: lanes.claim(db, tenant_id, conversation_id, owner, at, lease_us)
        )
        assert claimed is not None
        seen = await self.turns.run(tenant_id, conversation_id, owner, nudge or Nudge())
        await self.db.write(tenant_id, lambda db: lanes.leave(db, tenant_id, conversation_id, owner, seen))
        return seen

    @property
    def turns(self) -> Turns:
        replies = ReplyServices(
            db=self.db,
            ask=self.ask,
            ears=self.ears,
            tools=Tools(self.hooks, None),  # type: ignore[arg-type]  # no search
            model_for=lambda _config, _image: "kimi-k2.5",
            takes_tools=lambda _model: True,
            secret_of=lambda _tenant, _sealed: "a secret of tools",
            clock=self.clock,
            voiced=self.voiced,
        )
        services = TurnServices(
            db=self.db,
            lines=self,  # type: ignore[arg-type]  # has `of`
            replier=Replier(replies),
            voice=NoVoice(),  # type: ignore[arg-type]  # nothing is spoken
            sees=lambda _config: False,
            senders=Bell(),
            clock=self.clock,
            metrics=self.metrics,
        )
        return Turns(services)

    def of(self, _tenant_id: str, _number: StoredNumber) -> ScriptedLine:
        return self.line

    async def ask(self, principal: Principal, body: dict[str, Any], marks: Marks, settling: Settling) -> Answer:
        """What `channels.answering.asking.ask` does, with a script for a model."""
        wanted = Ask("whatsapp", "llm", "kimi-k2.5", False, 100, "req_1", PLENTY, marks=marks)
        async with self.meter.open_call(principal, wanted) as call:
            self.asked.append(body)
            text, calls = await self.script(body)
            answer = Answer(call.id, "kimi-k2.5", text, calls, 12)
            try:
                await call.post(Bill("completed", COST, "provider_usage", "B5"), settling(answer))
            except UpstreamError as error:
                raise error.problem() from None
            return answer

    async def rows(self, sql: str) -> list[Row]:
        return await self.db.read(EVERY_TENANT, lambda db: db.all(sql))

    async def said(self) -> list[str]:
        """The texts that go out, in order."""
        return [msgspec.json.decode(row[0])["body"] for row in await self.rows("SELECT body FROM sends ORDER BY seq")]

    async def charged(self) -> int:
        """In micro-credits, all in all."""
        return sum(row[0] for row in await self.rows("SELECT charge FROM calls"))

    async def dispositions(self) -> list[str]:
        sql = "SELECT disposition FROM messages WHERE role = 'user' ORDER BY seq"
        return [row[0] for row in await self.rows(sql)]

    def _config(self) -> str:
        assert set(self.config) <= set(BotConfig.__struct_fields__)
        return msgspec.json.encode(self.config).decode()


@asynccontextmanager
async def open_stage(url: str, *, credit: int = 1_000_000, **stage: Any) -> AsyncIterator[Stage]:
    async with open_books(url) as db:
        tenant_id = await db.write(EVERY_TENANT, lambda t: make_tenant(t, credit=credit))
        opened = Stage(db, tenant_id, **stage)
        await opened.furnish()
        yield opened


async def until_asked(stage: Stage, times: int = 1) -> None:
    """Wait until the model has been asked so often."""

    async def met() -> bool:
        return len(stage.asked) >= times

    await until(met)
