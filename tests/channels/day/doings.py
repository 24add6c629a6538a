"""What can be done in a day by users, by people of the businesses and by fate; `script` makes scenes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Any, Final

import trio

from app.core.errors import Problem
from app.core.identity import Visitor
from app.core.whatsapp_api import NewText
from app.storage import bots, ledger, numbers
from app.storage.database import Transaction
from scripts.simulator.whatsapp.faults import Order
from scripts.simulator.whatsapp.sayings import Saying, Who
from scripts.simulator.whatsapp.state import Pace, Provider
from tests.channels.day import speech
from tests.channels.day.houses import ALOUD, TWILIO
from tests.channels.day.model import CALM, Mood
from tests.channels.day.speech import WELL, recording
from tests.channels.day.world import PROCESSES, Day, Event

#: Users of each number.
USERS: Final = {"1001": 20, "1002": 12, "1003": 10, "2001": 12, TWILIO: 14, "3001": 8}
BAD_TOKEN: Final[dict[Provider, int]] = {"meta": 190, "twilio": 20003}
Action = Callable[[], Awaitable[None]]


class Doings:
    """`events` grows by what is asked for."""

    def __init__(self, day: Day, random: Random) -> None:
        self._day = day
        self._random = random
        self._tokens, self._strangers = count(1), count(1)
        self._people = {account: [person(account, n) for n in range(size)] for account, size in USERS.items()}
        self.events: list[Event] = []

    async def _mend(self) -> None:
        """The day is over: everything works."""
        day = self._day
        day.lost_acks = day.wire.unreachable = 0.0
        day.model.mood = dict(CALM)
        day.speech.hearing, day.speech.speaking = dict(WELL), dict(WELL)
        for account in USERS:
            day.number(account).orders.waiting.clear()
            day.number(account).pace = Pace()
        for place in range(PROCESSES):
            await day.start(place)
        for account in USERS:
            await self._set_active(account, True)
            await self._reconnect(account)

    async def _cut_off(self) -> None:
        """When the provider has taken a message and nobody knows yet, or in a while."""
        with trio.move_on_after(10):
            while not self._day.wire.taken:  # noqa: ASYNC110 - any message of any process
                await trio.sleep(0.02)
        for place in range(PROCESSES):
            self._day.kill(place)
        await trio.sleep(self._random.uniform(1, 4))
        for place in range(PROCESSES):
            await self._day.start(place)

    async def _tidy_up(self) -> None:
        """People have dealt with what waited for them: bots speak again, and there is money."""
        await self._grant("3001", 1500)
        for account, who in self._everybody():
            if self._random.random() < 0.7:
                await self._switch_on(account, who)

    def _chatter(self, at: float) -> None:
        for account, who in self._some(3):
            self._say(at + self._random.uniform(0, 10), account, who, [self._words(account)])

    def _crowd(self, at: float, size: int, account: str = "") -> None:
        for number, who in self._some(size, account):
            start = at + self._random.uniform(0, 40)
            for piece in range(self._random.randint(1, 3)):
                self._say(start + self._random.uniform(0.5, 9) * piece, number, who, [self._words(number)])

    def _everybody(self, account: str = "") -> list[tuple[str, Who]]:
        return [(each, who) for each, people in self._people.items() if account in ("", each) for who in people]

    def _some(self, size: int, account: str = "") -> list[tuple[str, Who]]:
        everybody = self._everybody(account)
        return self._random.sample(everybody, min(size, len(everybody)))

    def _token(self) -> str:
        return f"q{next(self._tokens)}z"

    def _text(self) -> Saying:
        return Saying(text=f"{self._token()} what does it cost?")

    def _words(self, account: str) -> Saying:
        """Written, or spoken where the bot hears."""
        spoken = account in ALOUD and self._random.random() < 0.5
        return recording(self._token()) if spoken else self._text()

    def _at(self, at: float, act: Action) -> None:
        self.events.append(Event(max(0.5, at), act))

    def _do(self, at: float, act: Callable[[], Any]) -> None:
        async def do() -> None:
            act()

        self._at(at, do)

    def _say(self, at: float, account: str, who: Who, sayings: list[Saying], **shape: Any) -> None:
        self._do(at, lambda: self._day.say(account, [(who, sayings)], **shape))

    def _mood(self, at: float, length_s: float, mood: Mood) -> None:
        self._do(at, lambda: setattr(self._day.model, "mood", dict(mood)))
        self._do(at + length_s, lambda: setattr(self._day.model, "mood", dict(CALM)))

    def _speech(self, at: float, length_s: float, hearing: speech.Mood, speaking: speech.Mood) -> None:
        def set_moods(hearing: speech.Mood, speaking: speech.Mood) -> None:
            self._day.speech.hearing, self._day.speech.speaking = dict(hearing), dict(speaking)

        self._do(at, lambda: set_moods(hearing, speaking))
        self._do(at + length_s, lambda: set_moods(WELL, WELL))

    def _tell_statuses(self, account: str, pace: Pace) -> None:
        self._day.number(account).pace = pace

    def _order(self, account: str, order: Order) -> None:
        self._day.number(account).orders.waiting.append(order)

    async def _in(self, account: str, job: Callable[[Transaction, str], Any]) -> None:
        """In the scope of the organisation, by whichever process is there."""
        tenant_id, process = self._day.business(account).tenant_id, self._day.somebody()
        if process is None:
            return
        try:
            await process.db.write(tenant_id, lambda db: job(db, tenant_id))
        except Problem:
            return

    async def _set_active(self, account: str, active: bool) -> None:
        bot_id = self._day.business(account).bot_id
        self._day.switched.add(bot_id)

        def switch(db: Transaction, tenant_id: str) -> None:
            bot = bots.find_bot(db, tenant_id, bot_id)
            assert bot is not None
            bots.update_bot(db, tenant_id, bot._replace(is_active=active))

        await self._in(account, switch)

    async def _grant(self, account: str, amount: int) -> None:
        business, at = self._day.business(account), self._day.now_us
        await self._in(account, lambda db, tenant: ledger.credit(db, tenant, "grant", amount, f"top-up {at}", at))
        self._day.granted[business.tenant_id] = at

    async def _reconnect(self, account: str) -> None:
        """Its new token is taken."""
        number_id, at = self._day.business(account).number_id, self._day.now_us
        orders = self._day.number(account).orders
        orders.waiting = [order for order in orders.waiting if order.code not in BAD_TOKEN.values()]

        def connect(db: Transaction, tenant_id: str) -> None:
            number = numbers.find_number(db, tenant_id, number_id)
            assert number is not None
            numbers.confirm(db, tenant_id, number, at)

        await self._in(account, connect)

    async def _switch_off(self, account: str, who: Who) -> None:
        await self._set_autoreply(account, who, enabled=False)

    async def _switch_on(self, account: str, who: Who) -> None:
        await self._set_autoreply(account, who, enabled=True)

    async def _set_autoreply(self, account: str, who: Who, *, enabled: bool) -> None:
        conversation_id, process = self._day.conversation_of(account, who), self._day.somebody()
        if conversation_id is None or process is None:
            return
        try:
            if enabled:
                self._day.resumed.append((conversation_id, self._day.now_us))
            await process.desk.set_autoreply(self._day.business(account).tenant_id, conversation_id, enabled=enabled)
        except Problem:
            return

    async def _write(self, account: str, who: Who) -> None:
        """A person writes through the platform API."""
        conversation_id, process = self._day.conversation_of(account, who), self._day.somebody()
        if conversation_id is None or process is None:
            return
        visitor = Visitor(self._day.business(account).tenant_id, user_id="agent", role="agent")
        try:
            await process.desk.send_text(visitor, NewText(conversation_id=conversation_id, text="This is Meera."))
        except Problem:
            return

    async def _echo(self, account: str, who: Who) -> None:
        """A person writes from the business's own phone, of which Twilio does not tell."""
        if who.phone and self._day.number(account).provider == "meta":
            self._day.say(account, [(who, [Saying(type="echo", text="Meera here.")])])


def person(account: str, number: int) -> Who:
    """Some hide their phone, of some no other id is known."""
    ending = f"{account[-4:]}{number:04d}"
    phone, user_id = f"+9198{ending}", f"IN.{ending}"
    kind = number % 5
    return Who(phone="" if kind == 4 else phone, user_id="" if kind == 3 else user_id, name=f"User {number}")
