"""A day of the gateway's channels: processes that live and die, businesses, their users, a provider and a model, in
virtual time over a real database. `script` says what happens, `checks` what must be true afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import trio
from trio.testing import MockClock

from app.storage.database import EVERY_TENANT, Row, Transaction, open_database
from app.storage.engines import open_engine
from app.storage.migrations import migrate
from scripts.simulator.whatsapp.phones import Phones
from scripts.simulator.whatsapp.sayings import Saying, Shape, Who
from scripts.simulator.whatsapp.state import Number
from scripts.simulator.whatsapp.wire import Outgoing, Reply
from tests.channels.day.clockwork import Traffic, turn_the_clock
from tests.channels.day.houses import Business, found, simulated
from tests.channels.day.model import Model
from tests.channels.day.processes import Process, World
from tests.channels.day.speech import Speech
from tests.channels.day.wire import HOST, Posting, Wire
from tests.databases import open_view
from tests.storage.making import DAY_0

PROCESSES: Final = 2
#: What a dead process still tries to settle is given up by then.
SETTLED_S: Final = 60.0
#: When something is due, in microseconds.
_DUE: Final = """
    SELECT MIN(due) FROM (
        SELECT MIN(due_at) AS due FROM inbox WHERE state = 'pending'
        UNION ALL SELECT MIN(CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END) FROM lanes
            WHERE due_at IS NOT NULL
        UNION ALL SELECT MIN(CASE WHEN n.spam_until > s.due_at AND s.kind <> 'template' THEN n.spam_until
            WHEN n.paused_until > s.due_at THEN n.paused_until ELSE s.due_at END)
            FROM sends s JOIN numbers n ON n.id = s.number_id WHERE s.state = 'queued'
        UNION ALL SELECT MIN(lease_until) FROM sends WHERE state IN ('sending', 'unknown')
        UNION ALL SELECT MIN(expires_at) FROM calls WHERE state = 'held'
        UNION ALL SELECT MIN(updated_at) FROM sends
            WHERE kind = 'template' AND charge_id = '' AND state IN ('delivered', 'read')) AS all_of_it"""


class Leaving(NamedTuple):
    """One of our messages as it left for the provider: how long the window was still open (None: nobody could know),
    whether somebody had taken over by then.
    """

    at_us: int
    account: str
    reference: str
    kind: str
    window_left_s: float | None
    origin: str
    conversation_id: str
    autoreply: int


class Spoken(NamedTuple):
    """What a user has written, as the provider told it."""

    at_us: int
    account: str
    saying: Saying


class Event(NamedTuple):
    """Something that happens, in trio's seconds."""

    at_s: float
    act: Callable[[], Awaitable[None]]


@dataclass
class Day:
    """Everything of one day; `play` lets it pass."""

    url: str
    folder: Path
    random: Random
    view: Transaction = field(init=False)
    businesses: list[Business] = field(default_factory=list)
    spoken: dict[str, Spoken] = field(default_factory=dict)
    leaving: list[Leaving] = field(default_factory=list)
    #: (conversation, when): a person has taken over; the bot was given back.
    silenced: list[tuple[str, int]] = field(default_factory=list)
    resumed: list[tuple[str, int]] = field(default_factory=list)
    #: Bots that were off at some time, organisations whose credit was changed.
    switched: set[str] = field(default_factory=set)
    granted: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    #: No process can be started.
    is_out: bool = False
    #: What our code said of errors in itself.
    crashed: list[str] = field(default_factory=list)
    #: How often an answer to a webhook is lost on its way back.
    lost_acks: float = 0.0
    #: What lay at the links that a provider was given.
    fetched: dict[str, bytes] = field(default_factory=dict)
    #: Users whose window their provider has shut before its time, by account.
    shut: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.phones = Phones(
            start_s=DAY_0 / 1e6, random=Random(self.random.random()), retry_scale=1.0, base_url=f"http://{HOST}"
        )
        self.model = Model(Random(self.random.random()), self._inputs_of)
        self.speech = Speech(Random(self.random.random()))
        self.wire = Wire(self.phones, Random(self.random.random()), self._noticed)
        self.traffic = Traffic(at_once=self.url.startswith("sqlite"))
        self.processes: list[Process | None] = [None] * PROCESSES
        self._nursery: trio.Nursery
        self._clock: MockClock
        self._rest = trio.Event()
        self._events: list[Event] = []
        self._delivering = self._acting = 0

    @property
    def now_us(self) -> int:
        return DAY_0 + int(self._clock.current_time() * 1e6)

    def open_view(self) -> AbstractContextManager[Transaction]:
        return open_view(self.url)

    def rows(self, sql: str, *values: object) -> list[Row]:
        return self.view.all(sql, *values)

    def number(self, account: str) -> Number:
        return self.phones.number(account)

    def business(self, account: str) -> Business:
        return next(each for each in self.businesses if each.account == account)

    # What happens

    def say(self, account: str, talks: Iterable[tuple[Who, list[Saying]]], **shape: Any) -> list[str]:
        """Users write; the ids of their messages."""
        told = [(self.number(account), who, sayings) for who, sayings in talks]
        ids, _ = self.phones.say(told, Shape(**shape))
        sayings = [saying for _, _, said in told for saying in said]
        for message_id, saying in zip(ids, sayings, strict=True):
            self.spoken.setdefault(message_id, Spoken(self.now_us, account, saying))
        return ids

    def shut_window(self, account: str, who: Who) -> None:
        """Its provider takes it for shut, whatever we think."""
        self.shut.add((account, who.phone or who.user_id))
        self.number(account).user(who.phone, who.user_id).window_until = self.phones.timeline.now()

    async def start(self, place: int) -> None:
        """Start the process of this place, unless it runs or nothing can."""
        running = self.processes[place]
        if not self.is_out and (running is None or not running.alive):
            world = World(self.url, self.folder, self.traffic, self.wire, self.model, self.speech)
            process = Process(world, lambda: self.now_us)
            self.processes[place] = process
            self._nursery.start_soon(process.run)
            await process.ready.wait()

    def kill(self, place: int, *, commits: int = 0, kept: bool = False) -> None:
        process = self.processes[place]
        if process is not None and process.alive:
            self.kills += 1
            process.kill(commits=commits, kept=kept)

    def stop(self, place: int) -> None:
        process = self.processes[place]
        if process is not None and process.alive:
            process.stop()

    @property
    def living(self) -> list[Process]:
        return [each for each in self.processes if each is not None and each.alive]

    def somebody(self) -> Process | None:
        """A process that a request comes to."""
        return self.random.choice(self.living) if self.living else None

    def conversation_of(self, account: str, who: Who) -> str | None:
        alias = f"u:{who.user_id}" if who.user_id else f"p:{who.phone}"
        rows = self.rows(
            "SELECT c.conversation_id FROM aliases a JOIN contacts c ON c.tenant_id = a.tenant_id "
            "AND c.id = a.contact_id WHERE a.number_id = ? AND a.alias = ?",
            *(self.business(account).number_id, alias),
        )
        return rows[0][0] if rows else None

    # How it passes

    async def play(self, events: Iterable[Event], cool_s: float, clock: MockClock) -> None:
        """From the first event until everything is at rest after the last, at most so much later."""
        self._events = sorted(events, key=lambda event: event.at_s)
        self._clock = clock
        self.phones.timeline.now()  # its day begins with ours
        async with trio.open_nursery() as turning:
            turning.start_soon(turn_the_clock, clock, self.traffic, self._nothing_until)
            async with open_database(await open_engine(self.url, synchronous="NORMAL")) as db:
                await migrate(db)
                self.businesses = await db.write(EVERY_TENANT, found)
            for number in simulated(self.businesses):
                self.phones.connect(number)
            with self.open_view() as self.view:
                async with trio.open_nursery() as self._nursery:
                    self._nursery.start_soon(self.phones.run, self._deliver)
                    await self._act()
                    with trio.move_on_after(cool_s):
                        await self._rest.wait()
                    for process in self.living:
                        process.kill()
                    await trio.sleep(SETTLED_S)
                    self._nursery.cancel_scope.cancel()
            turning.cancel_scope.cancel()

    async def _act(self) -> None:
        for place in range(PROCESSES):
            await self.start(place)
        async with trio.open_nursery() as acting:
            while self._events:
                await trio.sleep_until(self._events[0].at_s)
                acting.start_soon(self._do, self._events.pop(0))

    async def _do(self, event: Event) -> None:
        self._acting += 1
        try:
            await event.act()
        finally:
            self._acting -= 1

    def _nothing_until(self) -> float | None:
        if self.model.flying or self.speech.flying or self.wire.flying or self._delivering or self._acting:
            return None
        due_us = self.rows(_DUE)[0][0]
        times = [] if due_us is None else [(due_us - DAY_0) / 1e6]
        times += [self.phones.timeline.next_at - DAY_0 / 1e6] if self.phones.timeline.next_at else []
        times += [event.at_s for event in self._events[:1]]
        if not times:
            self._rest.set()
        return min(times, default=None)

    @property
    def rested(self) -> bool:
        return self._rest.is_set()

    async def _deliver(self, outgoing: Outgoing) -> Reply:
        """A webhook on its way to whichever process is there."""
        self._delivering += 1
        try:
            return await self._bring(outgoing)
        finally:
            self._delivering -= 1

    async def _bring(self, outgoing: Outgoing) -> Reply:
        await trio.sleep(self.random.uniform(0.001, 0.03))
        process = self.somebody()
        if process is None:
            return Reply(0, failure="ct")
        reply = await process.serve(outgoing)
        if reply.status == 200 and (not process.alive or self.random.random() < self.lost_acks):
            return Reply(0, failure="rt")
        if outgoing.body is None and reply.status == 200:
            self.fetched[outgoing.url] = reply.body
        return reply

    def _noticed(self, posting: Posting) -> None:
        account, reference, kind, phone, user_id = posting
        user = self.number(account).user(phone, user_id)
        sql = (
            "SELECT s.origin, s.conversation_id, v.autoreply FROM sends s JOIN conversations v "
            "ON v.tenant_id = s.tenant_id AND v.id = s.conversation_id WHERE s.id = ?"
        )
        was_shut = self.shut & {(account, name) for name in (user.phone, user.user_id) if name}
        left_s = None if was_shut else user.window_until - self.phones.timeline.now()
        self.leaving.append(Leaving(self.now_us, account, reference, kind, left_s, *self.rows(sql, reference)[0]))

    def _inputs_of(self, turn_id: str) -> list[str]:
        inputs = self.rows(
            "SELECT m.content FROM turns t JOIN messages m ON m.tenant_id = t.tenant_id "
            "AND m.conversation_id = t.conversation_id WHERE t.id = ? AND m.role = 'user' "
            "AND t.inputs LIKE '%' || m.id || '%' ORDER BY m.provider_at, m.seq",
            turn_id,
        )
        return [row[0] for row in inputs]
