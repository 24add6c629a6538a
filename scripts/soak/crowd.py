"""The crowd: calls begun at a steady rate, whatever becomes of them, and what they say afterwards."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from scripts.bench.questions import Door
from scripts.soak import asks
from scripts.soak.asks import Ask, Manner
from scripts.soak.client import Client, Told, connect
from scripts.soak.verdicts import Outage, why_wrong

#: Connections that wait for another call, and how long they may: less than the gateway's own limit.
MOST_KEPT: Final = 16
KEPT_S: Final = 30.0
#: More than the gateway leaves open at this rate; what comes on top is not asked and counted.
MOST_AT_ONCE: Final = 600
#: After the time is up, for what is under way.
GRACE_S: Final = 20.0
EXAMPLES: Final = 20
_LEAVING: Final[dict[Manner, str]] = {"leaves in request": "left inside their request", "stuck": "stopped reading"}


@dataclass(slots=True)
class Tally:
    """What the whole crowd was told. `ended` are calls that the audit has not looked at yet."""

    begun: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    manners: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    not_asked: int = 0
    most_at_once: int = 0
    ended: deque[Told] = field(default_factory=deque)


@dataclass(slots=True)
class Crowd:
    """`doors` are those of every gateway for every tenant."""

    doors: Sequence[Door]
    rate: float
    outages: Sequence[Outage]
    seed: int = 1
    tally: Tally = field(default_factory=Tally)
    at_once: int = 0
    _kept: list[Client] = field(default_factory=list)

    async def call_for(self, seconds: float) -> None:
        """Begin calls for so long, then hear out those under way; no connection is left open."""
        end = due = trio.current_time()
        end += seconds
        try:
            async with trio.open_nursery() as nursery:
                while (due := due + 1 / self.rate) < end:
                    await trio.sleep_until(due)
                    if self.at_once < MOST_AT_ONCE:
                        nursery.start_soon(self._one, self._next())
                    else:
                        self.tally.not_asked += 1
                nursery.cancel_scope.deadline = trio.current_time() + GRACE_S
        finally:
            while self._kept:
                self._kept.pop().close()

    async def _one(self, ask: Ask) -> None:
        self.at_once += 1
        self.tally.most_at_once = max(self.tally.most_at_once, self.at_once)
        door = random.Random(ask.tag).choice(self.doors)  # noqa: S311 - a crowd, not a secret
        try:
            client = self._kept_client(door) if ask.manner != "stuck" else None
            client = client or await connect(door, tiny=ask.manner == "stuck")
        except OSError:
            self._note(Told(ask, trio.current_time(), trio.current_time(), broken=True))
        else:
            await self._talk(client, ask)
        finally:
            self.at_once -= 1

    async def _talk(self, client: Client, ask: Ask) -> None:
        try:
            told = await client.call(ask)
        except BaseException:
            client.close()
            raise
        self._note(told)
        if client.is_open and len(self._kept) < MOST_KEPT:
            self._kept.append(client)
        else:
            client.close()

    def _kept_client(self, door: Door) -> Client | None:
        """One that waits at this door, if any; those that have waited for too long leave."""
        now = trio.current_time()
        for client in tuple(self._kept):
            if now - client.used_at > KEPT_S:
                self._kept.remove(client)
                client.close()
            elif client.door == door:
                self._kept.remove(client)
                return client
        return None

    def _next(self) -> Ask:
        self.tally.begun += 1
        return asks.ask(self.tally.begun, self.seed)

    def _note(self, told: Told) -> None:
        tally = self.tally
        tally.answers[f"{told.status or 'none'} {told.code}".strip()] += 1
        tally.manners[_LEAVING.get(told.ask.manner, "hung up") if told.left else "stayed to the end"] += 1
        wrong = why_wrong(told, self.outages)
        if wrong:
            tally.wrong[wrong] += 1
            if len(tally.examples) < EXAMPLES:
                tally.examples.append(f"{wrong}: {told}")
        if told.call_id:
            tally.ended.append(told)
