"""The watch over the books: what is held, and whether every tenant's sums agree. For monitoring; it mends nothing.

A tenant with years of calls takes long to add up. So each is looked at by itself, and after each the watch rests so
long that it never takes more than a twentieth of one reading connection.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
import trio

from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.observability.stats import BooksStats
from app.storage import ledger, tenants
from app.storage.database import EVERY_TENANT, Database

log = structlog.get_logger(__name__)
COUNT_EVERY_S: Final = 15.0
ROUND_EVERY_S: Final = 60.0
PAGE: Final = 200
#: How long the watch rests for each second that it reads.
REST: Final = 19.0


class BooksWatch:
    """Keeps `stats` up to date while its tasks run; without a database they grow old."""

    def __init__(self, db: Database, *, clock: Clock = now_us) -> None:
        self.stats = BooksStats()
        self._db = db
        self._clock = clock

    async def run_count(self) -> None:
        while True:
            await self.count()
            await trio.sleep(COUNT_EVERY_S)

    async def run_rounds(self) -> None:
        while True:
            began = trio.current_time()
            await self.go_round(rest=REST)
            await trio.sleep_until(began + ROUND_EVERY_S)

    async def count(self) -> None:
        """One look at the open holds: an index holds them and nothing else."""
        at = self._clock()
        try:
            found = await self._db.read(EVERY_TENANT, lambda db: ledger.open_holds(db, at))
        except Problem as problem:
            log.warning("books.not_counted", error=str(problem))
            return
        self.stats.open, self.stats.overdue, self.stats.oldest_us = found
        self.stats.looked_us = at

    async def go_round(self, *, rest: float = 0.0) -> None:
        """Look at every tenant once, in the order of their ids."""
        seen: set[str] = set()
        after = ""
        try:
            while page := await self._db.read(EVERY_TENANT, partial(tenants.tenant_ids, after=after, limit=PAGE)):
                for tenant_id in page:
                    began = trio.current_time()
                    await self._look_at(tenant_id)
                    await trio.sleep((trio.current_time() - began) * rest)
                seen.update(page)
                after = page[-1]
        except Problem as problem:
            log.warning("books.round_broken_off", error=str(problem))
            return
        self.stats.broken &= seen
        self.stats.rounds += 1

    async def _look_at(self, tenant_id: str) -> None:
        """A tenant that cannot be read in time keeps what was known of it."""
        try:
            broken = await self._db.read(tenant_id, lambda db: ledger.is_broken(db, tenant_id))
        except Problem as problem:
            log.warning("books.not_added_up", tenant=tenant_id, error=str(problem))
            return
        if not broken:
            self.stats.broken.discard(tenant_id)
        elif tenant_id not in self.stats.broken:
            self.stats.broken.add(tenant_id)
            log.error("books.broken", tenant=tenant_id)
