"""Sorts what has come in: any process takes up what waits, tenant by tenant, a portion at a time.

A portion is one transaction of the tenant, and those take turns in the whole installation: nothing is sorted twice and
nothing is half sorted, wherever a process dies. A row that makes our code fail is put aside as a dead letter, so that
the others go on.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
import trio

from app.core.errors import Problem, error_places
from app.core.identity import Clock, now_us
from app.storage import inbox
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.inbox import Event
from channels.bell import Bell
from channels.conversations.conversing import Plans
from channels.inbound.applying import apply, bury
from channels.inbound.sorting import Sorted, Sorting

log = structlog.get_logger(__name__)
LOOK_EVERY_S: Final = 0.25
#: Tenants that a look takes in; the next one goes on behind them.
LOOKED_AT: Final = 100
#: Tenants sorted for at the same time by one process.
MOST_AT_ONCE: Final = 16
#: Rows of one transaction: on SQLite its statements run on the loop, about 0.3 ms for each row.
PORTION: Final = 64
#: Portions of one tenant before others get its place.
BURST: Final = 4
RETRY_S: Final = 1.0
#: How often a row that the database alone refuses is tried again, and how long the first pause is.
MOST_TRIES: Final = 5
PAUSE_US: Final = 1_000_000
REFUSED: Final = "the database does not take it"
CRASHED: Final = "an error of ours"


class Sorter:
    """The service of one process. It needs no draining: what it has begun is committed or not there."""

    def __init__(
        self,
        db: Database,
        plans: Plans,
        *,
        bell: Bell,
        lanes_bell: Bell,
        senders_bell: Bell,
        clock: Clock = now_us,
    ) -> None:
        self._db = db
        self._bell = bell
        self._lanes_bell = lanes_bell
        self._senders_bell = senders_bell
        self._plans = plans
        self._clock = clock
        #: Tenants that are sorted for, and whether a look has seen more of theirs meanwhile.
        self._busy: dict[str, bool] = {}
        self._after = ""

    async def run(self) -> None:
        """Sort what comes, for ever; goes on when the database is back."""
        async with trio.open_nursery() as nursery:
            while True:
                pause_s = await self._look(nursery)
                await self._bell.wait(pause_s)

    async def _look(self, nursery: trio.Nursery) -> float:
        """Start a task for each tenant with something due, as far as there is room; how long to pause then."""
        after, at = self._after, self._clock()
        try:
            found = await self._db.read(EVERY_TENANT, lambda db: inbox.waiting(db, after, LOOKED_AT))
        except Problem as problem:
            log.warning("sorter.not_looked", error=str(problem))
            await trio.sleep(RETRY_S)
            return 0
        self._after = found[-1].tenant_id if len(found) == LOOKED_AT else ""
        for tenant_id, due_us in found:
            if due_us > at:
                continue
            if tenant_id in self._busy:
                self._busy[tenant_id] = True
                continue
            if len(self._busy) >= MOST_AT_ONCE:  # whoever leaves a place rings
                self._after = after
                return LOOK_EVERY_S
            after = tenant_id
            self._busy[tenant_id] = False
            nursery.start_soon(self._serve, tenant_id)
        return 0 if self._after else LOOK_EVERY_S

    async def _serve(self, tenant_id: str) -> None:
        """Sort what is due for one tenant, in a place that is taken already."""
        more = False
        try:
            for _ in range(BURST):
                more = await self.sort_portion(tenant_id) >= PORTION
                if not more:
                    break
        except Problem as problem:
            log.warning("sorter.not_sorted", tenant=tenant_id, error=str(problem))
            await trio.sleep(RETRY_S)
        except Exception as crash:  # noqa: BLE001 - a bug: it must not end the service, nor be met at once again
            log.error("sorter.stuck", tenant=tenant_id, errors=error_places(crash))
            await trio.sleep(RETRY_S)
        finally:
            was_full = len(self._busy) >= MOST_AT_ONCE
            if self._busy.pop(tenant_id) or more or was_full:
                self._bell.ring()

    async def sort_portion(self, tenant_id: str) -> int:
        """Sort a portion; how many there were. Raises Problem when the database is away."""
        try:
            came_of_them = await self._db.write(tenant_id, partial(self._portion, tenant_id), durable=False)
        except Exception as error:  # noqa: BLE001 - one row spoils it: which, is found out one by one
            log.error("sorter.portion_failed", tenant=tenant_id, errors=error_places(error))
            return await self._sort_singly(tenant_id)
        self._tell(came_of_them)
        return len(came_of_them)

    async def _sort_singly(self, tenant_id: str) -> int:
        """Sort a portion, each row in a transaction of its own. Raises Problem when the database is away."""
        at = self._clock()
        events = await self._db.read(tenant_id, lambda db: inbox.pending(db, tenant_id, at, PORTION))
        for event in events:
            try:
                self._tell(await self._db.write(tenant_id, partial(self._single, tenant_id, event), durable=False))
            except Problem as problem:
                if problem.code != "storage_unavailable":
                    await self._bury(tenant_id, event, CRASHED)
                elif event.tries >= MOST_TRIES:
                    await self._bury(tenant_id, event, REFUSED)
                else:
                    await self._put_off(tenant_id, event)
            except Exception as error:  # noqa: BLE001 - a bug of ours: the others go on
                log.error("sorter.crashed", tenant=tenant_id, key=event.event_key, errors=error_places(error))
                await self._bury(tenant_id, event, CRASHED)
        return len(events)

    def _portion(self, tenant_id: str, db: Transaction) -> list[Sorted]:
        sorting = self._sorting(db, tenant_id)
        return [apply(sorting, event) for event in inbox.pending(db, tenant_id, sorting.at_us, PORTION)]

    def _single(self, tenant_id: str, event: Event, db: Transaction) -> list[Sorted]:
        return [apply(self._sorting(db, tenant_id), event)] if inbox.waits(db, tenant_id, event) else []

    async def _bury(self, tenant_id: str, event: Event, reason: str) -> None:
        def job(db: Transaction) -> None:
            if inbox.waits(db, tenant_id, event):
                bury(self._sorting(db, tenant_id), event, reason)

        await self._db.write(tenant_id, job)

    async def _put_off(self, tenant_id: str, event: Event) -> None:
        """The database did not take it: is it away, or is it this row? Raises Problem when it is away."""
        due_us = self._clock() + (PAUSE_US << event.tries)
        await self._db.write(tenant_id, lambda db: inbox.put_off(db, tenant_id, event, due_us, REFUSED))

    def _sorting(self, db: Transaction, tenant_id: str) -> Sorting:
        return Sorting(db, tenant_id, self._clock(), self._plans)

    def _tell(self, came_of_them: list[Sorted]) -> None:
        if any(each.lane for each in came_of_them):
            self._lanes_bell.ring()
        if any(each.sends for each in came_of_them):
            self._senders_bell.ring()
