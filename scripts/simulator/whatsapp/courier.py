"""Carries webhooks to the gateway: in time, again until they are taken, and never more than a few at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from scripts.simulator.whatsapp.parcels import Parcel
from scripts.simulator.whatsapp.state import Outcome
from scripts.simulator.whatsapp.timeline import Timeline
from scripts.simulator.whatsapp.wire import Outgoing, Reply, Sender

AT_ONCE_A_NUMBER: Final = 16
WAITING_A_NUMBER: Final = 20_000


class Courier:
    """`retry_scale` makes all pauses shorter; they pass on the timeline, so putting that forward tries again."""

    def __init__(self, timeline: Timeline, retry_scale: float) -> None:
        self._timeline = timeline
        self._retry_scale = retry_scale
        self._way: tuple[trio.Nursery, Sender] | None = None
        self._limits: dict[str, trio.CapacityLimiter] = {}
        self._waiting: Counter[str] = Counter()

    def open(self, nursery: trio.Nursery, send: Sender) -> None:
        """Where its tasks run, and how they reach the gateway."""
        self._way = nursery, send

    def carry(self, parcels: Sequence[Parcel]) -> None:
        """Enter them in their numbers' books and try them one after the other; what fails is tried again beside that.

        What is too much for a number is dropped, and its book says so. Without a URL nothing is posted.
        """
        going = []
        for parcel in [parcel for parcel in parcels if parcel.url]:
            account = parcel.number.account
            parcel.posted.n = parcel.number.count("posts")
            parcel.number.posted.append(parcel.posted)
            if self._waiting[account] < WAITING_A_NUMBER:
                self._waiting[account] += 1
                going.append(parcel)
            else:
                _close(parcel, "dropped")
        if not self._timeline.at(self._timeline.now(), partial(self._start, going)):
            for parcel in going:
                self._end(parcel, "dropped")

    def _start(self, parcels: list[Parcel]) -> None:
        if self._way is not None:
            nursery, send = self._way
            nursery.start_soon(self._try_each, parcels, send)

    async def _try_each(self, parcels: list[Parcel], send: Sender) -> None:
        for parcel in parcels:
            await self._try(parcel, send)

    async def _try(self, parcel: Parcel, send: Sender) -> None:
        posted, persistence = parcel.posted, parcel.persistence
        async with self._limits.setdefault(parcel.number.account, trio.CapacityLimiter(AT_ONCE_A_NUMBER)):
            began = trio.current_time()
            reply = await send(Outgoing(parcel.url, parcel.headers, parcel.body, persistence.timeout_s))
            posted.took_ms = (trio.current_time() - began) * 1000
        posted.attempts += 1
        posted.status = reply.status
        if reply.status == 200 or (not persistence.only_200 and 200 < reply.status < 300):
            self._end(parcel, "delivered")
        elif posted.attempts <= len(persistence.pauses_s) and _reason(reply) in persistence.retry_on:
            parcel.number.count("posts_again")
            pause_s = persistence.pauses_s[posted.attempts - 1] * self._retry_scale
            if not self._timeline.at(self._timeline.now() + pause_s, partial(self._start, [parcel])):
                self._end(parcel, "dropped")
        else:
            self._end(parcel, "gave_up")
            if parcel.then is not None:
                self.carry([parcel.then])
        parcel.tried.set()

    def _end(self, parcel: Parcel, outcome: Outcome) -> None:
        self._waiting[parcel.number.account] -= 1
        _close(parcel, outcome)


def _close(parcel: Parcel, outcome: Outcome) -> None:
    parcel.posted.outcome = outcome
    parcel.number.count(f"posts_{outcome}")
    parcel.tried.set()


def _reason(reply: Reply) -> str:
    return reply.failure or f"{reply.status // 100}xx"
