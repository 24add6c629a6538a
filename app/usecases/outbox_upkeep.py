"""What the outbox needs now and then: events that only the clock brings about, an end for what is too old."""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
import trio

from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.times import DAY_US, iso_time
from app.storage import deliveries, key_expiry
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.outbox import emit

log = structlog.get_logger(__name__)
EVERY_S: Final = 60.0
#: Pause before the next portion of many.
MORE_S: Final = 1.0
AT_ONCE: Final = 200
KEPT_US: Final = 30 * DAY_US
#: A delivery that has waited for so long behind others of its receiver is of no use any more.
WAITED_US: Final = DAY_US
WAITED: Final = "given up after a day behind other deliveries to this webhook"


class OutboxUpkeep:
    """Any process may do it; two at once do nothing twice."""

    def __init__(self, db: Database, *, clock: Clock = now_us) -> None:
        self._db = db
        self._clock = clock

    async def run(self) -> None:
        """Again and again; goes on when the database is back."""
        more = False
        while True:
            await trio.sleep(MORE_S if more else EVERY_S)
            try:
                more = max(await self.tell_of_expired_keys(), await self.give_up(), await self.sweep()) == AT_ONCE
            except Problem as problem:
                log.warning("webhooks.upkeep_failed", error=str(problem))
                more = False

    async def tell_of_expired_keys(self) -> int:
        """Emit `api_key.expired` for each key that has expired, once; how many were looked at."""
        at = self._clock()
        found = await self._db.read(EVERY_TENANT, lambda db: key_expiry.untold(db, at, AT_ONCE))
        for tenant_id, key_id in found:
            await self._db.write(tenant_id, partial(_tell, tenant_id, key_id, at))
        return len(found)

    async def give_up(self) -> int:
        """Fail some of what has waited for too long; how many."""
        before = self._clock() - WAITED_US
        return await self._db.write(EVERY_TENANT, lambda db: deliveries.give_up(db, before, WAITED, AT_ONCE))

    async def sweep(self) -> int:
        """Delete some of what is over and past its time; how many."""
        before = self._clock() - KEPT_US
        return await self._db.write(EVERY_TENANT, lambda db: deliveries.sweep(db, before, AT_ONCE))


def _tell(tenant_id: str, key_id: str, at_us: int, db: Transaction) -> None:
    key = key_expiry.tell(db, tenant_id, key_id, at_us)
    if key is not None:
        data = {"id": key.id, "name": key.name, "hint": key.hint, "expired_at": iso_time(key.expires_us)}
        emit(db, tenant_id, "api_key.expired", data, at_us)
