"""The watch over the channels: how much waits to be sorted, answered and sent, in all of the installation.

For monitoring; it mends nothing. After each look it rests so long that it never takes more than a twentieth of one
reading connection, however long a backlog has grown.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.observability.stats import ChannelStats
from app.storage import channel_sums
from app.storage.database import EVERY_TENANT, Database, Transaction

log = structlog.get_logger(__name__)
LOOK_EVERY_S: Final = 5.0
#: How long the watch rests for each second that it reads.
REST: Final = 19.0


class ChannelWatch:
    """Keeps `stats` up to date while its task runs; without a database they grow old."""

    def __init__(self, db: Database, *, clock: Clock = now_us) -> None:
        self.stats = ChannelStats()
        self._db = db
        self._clock = clock

    async def run(self) -> None:
        while True:
            began = trio.current_time()
            await self.look()
            await trio.sleep(max(LOOK_EVERY_S, (trio.current_time() - began) * REST))

    async def look(self) -> None:
        at, stats = self._clock(), self.stats

        def read(db: Transaction) -> channel_sums.Sums:
            return channel_sums.sums(db, at)

        try:
            found = await self._db.read(EVERY_TENANT, read)
        except Problem as problem:
            log.warning("channels.not_counted", error=str(problem))
            return
        stats.pending, stats.due_us = found.inbox.pending, found.inbox.due_us or 0
        stats.letters, stats.letters_of_nobody = found.letters
        stats.lanes_due, stats.lanes_overdue, stats.lanes_running = found.lanes
        stats.queued, stats.sending, stats.unknown = found.sends.queued, found.sends.sending, found.sends.unknown
        stats.oldest_us = found.sends.oldest_us or 0
        stats.numbers_in_error = found.numbers_in_error
        stats.looked_us = at
