"""What the clock alone brings about in channels: conversations end for want of a word, what is too old is deleted."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import Final

import msgspec
import structlog
import trio

from app.core.bot_config import read_config
from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.times import DAY_US, Place
from app.storage import conversation_ages, conversations, dead_letters, inbox
from app.storage.conversation_ages import Quiet
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.usecases.sweeping import run_sweeps
from channels.conversations.conversing import HOUR_US, end

log = structlog.get_logger(__name__)
#: The shortest time after which a bot lets a conversation end.
SHORTEST_US: Final = HOUR_US
LOOK_EVERY_S: Final = 60.0
#: Conversations of one page, and the pause before the next.
PAGE: Final = 200
MORE_S: Final = 0.1
LETTERS_US: Final = 90 * DAY_US
SWEPT_AT_ONCE: Final = 200
MORE_SWEEP_S: Final = 0.2


class ChannelUpkeep:
    """Any process may do it; two at once do nothing twice. `inbox_days` is how long repeats are recognised."""

    def __init__(self, db: Database, *, inbox_days: int, clock: Clock = now_us) -> None:
        self._db = db
        self._inbox_us = inbox_days * DAY_US
        self._clock = clock

    async def run(self) -> None:
        """Again and again; goes on when the database is back."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_ends)
            nursery.start_soon(run_sweeps, "inbox", self.sweep_inbox, SWEPT_AT_ONCE, MORE_SWEEP_S)
            nursery.start_soon(run_sweeps, "dead_letters", self.sweep_letters, SWEPT_AT_ONCE, MORE_SWEEP_S)

    async def end_idle(self) -> int:
        """End every conversation in which nothing was said for as long as its bot waits; how many."""
        ended, after = 0, None
        at = self._clock()
        while True:
            page = await self._db.read(EVERY_TENANT, partial(_quiet, at - SHORTEST_US, after))
            idle = sorted((each for each in page if at - each.updated_us >= _patience_us(each)), key=_tenant)
            for tenant_id, theirs in groupby(idle, key=_tenant):
                ended += await self._db.write(tenant_id, partial(_end, tenant_id, list(theirs), at))
            if len(page) < PAGE:
                return ended
            after = Place(page[-1].updated_us, page[-1].id)
            await trio.sleep(MORE_S)

    async def sweep_inbox(self) -> int:
        """Forget some of what came long ago; how many."""
        before = self._clock() - self._inbox_us
        return await self._db.write(EVERY_TENANT, lambda db: inbox.sweep(db, before, SWEPT_AT_ONCE))

    async def sweep_letters(self) -> int:
        """Delete some dead letters that nobody came for; how many."""
        before = self._clock() - LETTERS_US
        return await self._db.write(EVERY_TENANT, lambda db: dead_letters.sweep(db, before, SWEPT_AT_ONCE))

    async def _run_ends(self) -> None:
        while True:
            await trio.sleep(LOOK_EVERY_S)
            try:
                await self.end_idle()
            except Problem as problem:
                log.warning("channels.upkeep_failed", error=str(problem))


def _quiet(before_us: int, after: Place | None, db: Transaction) -> list[Quiet]:
    return conversation_ages.quiet(db, before_us, after, PAGE)


def _tenant(each: Quiet) -> str:
    return each.tenant_id


def _patience_us(each: Quiet) -> int:
    return read_config(msgspec.json.decode(each.config)).idle_hours * HOUR_US


def _end(tenant_id: str, idle: list[Quiet], at_us: int, db: Transaction) -> int:
    """Those that are still as they were; what waits for an answer waits on."""
    ended = 0
    for each in idle:
        found = conversations.find_conversation(db, tenant_id, each.id)
        as_it_was = found is not None and found.status == "active" and found.updated_us == each.updated_us
        if found is not None and as_it_was and not conversation_ages.has_open(db, tenant_id, each.id):
            end(db, tenant_id, found, at_us)
            ended += 1
    return ended
