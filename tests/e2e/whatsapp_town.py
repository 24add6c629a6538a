"""A town that writes to WhatsApp bots while their gateways die and their provider fails, all from one seed."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import trio

from app.storage.database import Transaction
from scripts.simulator.whatsapp.faults import Order
from scripts.simulator.whatsapp.sayings import Kind, Saying
from scripts.simulator.whatsapp.state import Pace, Provider
from tests.databases import elsewhere, open_view
from tests.e2e.topology import Front
from tests.e2e.whatsapp import Shop

#: What users say, and how often: words with cues for the model.
WORDS: Final = {
    "[tokens=8] Is there tea?": 24,
    "[tokens=30] [first=300] And how much is it?": 6,
    "[tokens=12] [first=900] Hm.": 3,
    "[tokens=1600] Tell me everything": 2,
    "[tokens=8] [mock=fail_once:{key}] Hello?": 1,
    "[mock=bad_request] What?": 1,
}
#: What either provider does to a message now and then, and what it does in words of its own.
BREAKS: Final = (
    *("reset", "reset_accepted", "error_500", "error_500_accepted", "garbage"),
    *("hang_accepted", "lost", "slow"),
)
REFUSALS: Final[dict[Provider, tuple[tuple[str, int], ...]]] = {
    "meta": (
        *(("refuse", code) for code in (131000, 131056, 130429)),
        *((fault, 131026) for fault in ("refuse_and_fail", "fail_later")),
    ),
    "twilio": (
        *(("refuse", code) for code in (20429, 63018)),
        *(("fail_later", code) for code in (63018, 63024)),
        ("refuse_and_fail", 21211),
    ),
}
PACES: Final = (
    Pace(sent_s=0.02, delivered_s=0.1, read_s=0.3),
    Pace(sent_s=0.02, delivered_s=0.1, read_s=0.3, twice=True),
    Pace(sent_s=0.3, delivered_s=0.2, read_s=0.1, reverse=True),
    Pace(sent_s=0.1, delivered_s=0.2, read_s=None, gather_s=1.0, shuffle=True),
    Pace(sent_s=1.0, delivered_s=4.0, read_s=None),
)
#: Somebody who has written so often in a few minutes would be taken for a machine.
MOST_TURNS: Final = 10
#: Between two kills of one gateway, and between two outages of all.
PEACE_S: Final = (0.5, 4.0)
CALM_S: Final = (5.0, 15.0)
OUTAGE_US: Final = 150_000_000
#: No pause between two attempts at a webhook is longer, as the simulator shortens them.
LONGEST_PAUSE_S: Final = 1500.0
BUSY: Final = (
    "SELECT COUNT(*) FROM inbox WHERE state = 'pending'",
    "SELECT COUNT(*) FROM lanes WHERE due_at IS NOT NULL OR owner <> ''",
    "SELECT COUNT(*) FROM sends WHERE state IN ('making', 'queued', 'sending', 'unknown')",
    "SELECT COUNT(*) FROM calls WHERE state = 'held'",
)
SOONER: Final = (
    "UPDATE lanes SET lease_until = lease_until - ? WHERE lease_until > ?",
    "UPDATE sends SET lease_until = lease_until - ? WHERE lease_until > ?",
    "UPDATE sends SET due_at = due_at - ? WHERE due_at > ?",
    "UPDATE inbox SET due_at = due_at - ? WHERE due_at > ?",
)


@dataclass
class Town:
    """`gateways` serve all of the shops; any of them takes any webhook. Twilio's go to one address for all, which is
    signed.
    """

    database_url: str
    gateways: Sequence[Front]
    shops: Sequence[Shop]
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        #: Whoever ends a gateway and starts it has its lock.
        self.locks = {front.url: trio.Lock() for front in self.gateways}

    async def live(self, seconds: float, users: int) -> None:
        """Until then everything happens at once; at the end all gateways serve."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for user in range(users):
                    nursery.start_soon(self._write, user)
                nursery.start_soon(self._spoil)
                for front in self.gateways:
                    nursery.start_soon(self._strike, front)
                nursery.start_soon(self._let_minutes_pass)

    async def _write(self, user: int) -> None:
        """One user after the other, each with a phone of their own."""
        for generation in count():
            phone, shop = f"+9170{generation:04}{user:04}", self.chance.choice(self.shops)
            for _ in range(MOST_TURNS):
                await trio.sleep(self.chance.uniform(0.5, 5.0))
                for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
                    self._say(shop, phone)
                    await trio.sleep(self.chance.uniform(0.0, 0.4))

    def _say(self, shop: Shop, phone: str) -> None:
        kinds: tuple[Kind, ...] = ("text",) * 6 + ("voice", "image")
        words = self.chance.choices([*WORDS], [*WORDS.values()])[0].format(key=self.counts["said"])
        shape: dict[str, Any] = {"duplicate": self.chance.choice((0, 0, 0, 1, 3)), "together": True}
        if shop.number.provider == "meta":
            base, path = self.chance.choice(self.gateways).url, shop.number.callback_url.partition("/api/")[2]
            shop.number.callback_url = f"{base}/api/{path}"
        shop.say(Saying(type=self.chance.choice(kinds), text=words), phone=phone, **shape)
        self.counts["said"] += 1

    async def _spoil(self) -> None:
        """The provider fails now and then, and is late in telling."""
        while True:
            await trio.sleep(self.chance.uniform(0.3, 1.5))
            number = self.chance.choice(self.shops).number
            breaks = [(fault, 0) for fault in BREAKS]
            fault, code = self.chance.choice([*breaks, *REFUSALS[number.provider]])
            number.orders.waiting.append(Order(fault, code, left=self.chance.choice((1, 1, 3)), delay_s=1.0))
            number.pace = self.chance.choice(PACES)
            self.counts["faults"] += 1

    async def _strike(self, front: Front) -> None:
        """kill -9 of a gateway again and again; its successor takes a moment to come."""
        while True:
            await trio.sleep(self.chance.uniform(*PEACE_S))
            with trio.CancelScope(shield=True):
                async with self.locks[front.url]:
                    await front.end(signal.SIGKILL)
                    self.counts["kills"] += 1
                    await trio.sleep(self.chance.uniform(0.0, 1.0))
                    await front.start()

    async def _let_minutes_pass(self) -> None:
        while True:
            await trio.sleep(self.chance.uniform(*CALM_S))
            with trio.CancelScope(shield=True):
                await self.outage(signal.SIGKILL)

    async def outage(self, how: signal.Signals) -> None:
        """Nobody serves for some minutes, which pass at once."""
        async with AsyncExitStack() as stack:
            for lock in self.locks.values():
                await stack.enter_async_context(lock)
            for front in self.gateways:
                await front.end(how)
            self.counts["outages"] += 1
            elsewhere(self.database_url, _minutes_pass)
            async with trio.open_nursery() as nursery:
                for front in self.gateways:
                    nursery.start_soon(front.start)

    async def comes_to_rest(self, rounds: int, within_s: float) -> None:
        """The provider is well again. What waits for a minute to be over is helped by an outage, at most so often, when
        nothing has moved for so long.
        """
        for shop in self.shops:
            shop.number.orders.waiting.clear()
            shop.number.pace = PACES[0]
        for _ in range(rounds):
            self.shops[0].phones.timeline.advance(LONGEST_PAUSE_S)
            before: Sequence[int] = ()
            with trio.CancelScope() as patience, open_view(self.database_url) as db:
                while any(left := [*self._untold(), *_busy(db)]):
                    if left != before:
                        before, patience.deadline = left, trio.current_time() + within_s
                    await trio.sleep(0.2)
                return
            await self.outage(signal.SIGTERM)

    def _untold(self) -> list[int]:
        """Webhooks that are still on their way, and attempts at all."""
        posted = [post for shop in self.shops for post in shop.number.posted if post.outcome == "waiting"]
        return [len(posted), sum(post.attempts for post in posted)]


def _busy(db: Transaction) -> list[int]:
    return [db.all(sql)[0][0] for sql in BUSY]


def _minutes_pass(db: Transaction) -> None:
    """What was to be waited for is nearer; nobody may live meanwhile."""
    for sql in SOONER:
        db.do(sql, OUTAGE_US, OUTAGE_US)
