"""Charges templates when they have arrived: 0.12 credits each, once (channels.md section 7.7).

A charge is a call of the meter with nothing held: what it costs is taken in the transaction that marks the message as
paid for, so that both happen or neither, in whatever process.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
import trio

from app.core.billing import Bill
from app.core.call_facts import Marks
from app.core.errors import Problem, error_places
from app.core.identity import Clock, Principal, now_us
from app.core.ledger import Limits
from app.core.limits import Rate
from app.core.sends import TEMPLATE_UCR
from app.core.times import DAY_US
from app.storage import send_queue
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.ledger import Ending
from app.usecases.meter import Ask, Meter
from channels.answering.asking import ENDPOINT, as_bot

log = structlog.get_logger(__name__)
LOOK_EVERY_S: Final = 5.0
#: What cannot be charged just now, since its organisation is suspended or the database away, comes up again then.
AGAIN_S: Final = 30.0
#: What could not be charged for so long, since its bot is gone, is let go.
OWED_FOR_US: Final = 7 * DAY_US
LOOKED_AT: Final = 100
CATEGORY: Final = "message"
MODEL: Final = "template"
#: It has been sent already: nothing may refuse it.
UNLIMITED: Final = Limits(Rate(1_000_000), concurrency=1_000_000)
BILL: Final = Bill("completed", TEMPLATE_UCR, "provider_usage", "B17")


class Paid(Exception):
    """Another process was quicker."""


class TemplateCharges:
    """Any process does it."""

    def __init__(self, db: Database, meter: Meter, *, clock: Clock = now_us) -> None:
        self._db = db
        self._meter = meter
        self._clock = clock
        self._after = (0, "")

    async def run(self) -> None:
        """Charge what has arrived, again and again; what could not be charged waits for the next round."""
        while True:
            try:
                done = await self.look()
            except Problem as problem:
                log.warning("templates.not_looked", error=str(problem))
                done = None
            if done is None or not self._after[1]:
                await trio.sleep(AGAIN_S if done is None else LOOK_EVERY_S)

    async def look(self) -> int:
        """Charge the next ones; how many were charged."""
        after = max(self._after, (self._clock() - OWED_FOR_US, ""))
        found = await self._db.read(EVERY_TENANT, lambda db: send_queue.to_charge(db, after, LOOKED_AT))
        self._after = (found[-1][3], found[-1][2]) if len(found) == LOOKED_AT else (0, "")
        charged = 0
        for tenant_id, bot_id, send_id, _ in found:
            try:
                await as_bot(self._db, tenant_id, bot_id, self._clock, partial(self._charge, send_id))
                charged += 1
            except Paid:
                continue
            except Problem as problem:
                log.warning("templates.not_charged", tenant=tenant_id, send=send_id, error=str(problem))
            except Exception as crash:  # noqa: BLE001 - a bug: the others are charged all the same
                log.error("templates.crashed", tenant=tenant_id, send=send_id, errors=error_places(crash))
        return charged

    async def _charge(self, send_id: str, principal: Principal) -> None:
        """Raises Paid, Problem, StaleKey; nothing is charged then."""
        ask = Ask(ENDPOINT, CATEGORY, MODEL, False, 0, send_id, UNLIMITED, marks=Marks())
        async with self._meter.open_call(principal, ask) as call:

            def beside(db: Transaction, _ending: Ending) -> None:
                if not send_queue.set_charge(db, principal.tenant_id, send_id, call.id):
                    raise Paid

            call.receipt["units"] = {"messages": 1}
            await call.post(BILL, beside)
