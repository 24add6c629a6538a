"""Endings that must be written: at once, or, when the database is away for too long, as soon as it is back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Final

import structlog
import trio

from app.core.errors import Problem
from app.core.identity import Clock
from app.storage import ledger
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.ledger import Closing, Ending

log = structlog.get_logger(__name__)
RETRY_S: Final = 0.25
#: How long an admission that was answered 503 may still turn up: a server that hung may commit it when it wakes.
MAY_APPEAR_S: Final = 60.0
SWEPT_AT_ONCE: Final = 1000
#: In one transaction: a slow database, too, must get through with it in time.
SWEPT_IN_ONE: Final = 100
#: Beyond so many endings that wait, an admission that may still turn up is left to the sweeper.
MOST_UNASKED: Final = 1000
#: What else the transaction of an ending writes; it may be run again.
Beside = Callable[[Transaction, Ending], None]


def both(first: Beside | None, second: Beside | None) -> Beside | None:
    """One that writes what the two write."""
    if first is None or second is None:
        return first or second

    def write(db: Transaction, ending: Ending) -> None:
        first(db, ending)
        second(db, ending)

    return write


@dataclass(frozen=True, slots=True)
class _Waiting:
    closing: Closing
    #: Until then a call that is not there is looked for again.
    expected_until: float


class Late(Problem):
    """The ending could not be written in time; the settler writes it when it can."""

    def __init__(self) -> None:
        super().__init__(
            "storage_unavailable",
            "The answer could not be accounted for in time and is free. Look at its receipt before you try again.",
        )


class Settler:
    """Owns what could not be written yet: at most `MOST_UNASKED`, and the calls that were open as the database went."""

    def __init__(self, db: Database, settle_s: float, clock: Clock) -> None:
        self._db = db
        self._settle_s = settle_s
        self._clock = clock
        self._late: dict[tuple[str, str], _Waiting] = {}
        #: Holds that this process has freed for others.
        self.swept = 0

    @property
    def backlog(self) -> int:
        """How many endings wait for the database."""
        return len(self._late)

    async def end(
        self, tenant_id: str, call_id: str, closing: Closing, otherwise: Closing, beside: Beside | None = None
    ) -> Ending:
        """Write an ending, waiting for a database that is away. Not cancellable, bounded by `settle_s`.

        Raises Late after that; `otherwise` is then written when the database is back, unless
        an attempt of ours that was never answered had been kept after all: the first ending stays.
        """
        job = partial(_end, tenant_id, call_id, closing, beside)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._settle_s):
            while True:
                try:
                    return await self._db.write(tenant_id, job)
                except Problem as problem:
                    if problem.code != "storage_unavailable":
                        raise
                    await trio.sleep(RETRY_S)
        log.error("meter.settle_late", call=call_id, cost_ucr=closing.cost, basis=closing.basis)
        self._late[tenant_id, call_id] = _Waiting(otherwise, 0.0)
        raise Late

    def end_later(self, tenant_id: str, call_id: str, closing: Closing) -> None:
        """End a call that may not even have begun: its admission was not answered in time."""
        if len(self._late) < MOST_UNASKED:
            self._late[tenant_id, call_id] = _Waiting(closing, trio.current_time() + MAY_APPEAR_S)

    async def run(self) -> None:
        """Write what waits whenever the database answers."""
        while True:
            await trio.sleep(RETRY_S)
            await self.flush()

    async def flush(self) -> None:
        """Try everything that waits once; stops when two tenants in turn could not be written for."""
        in_vain: str | None = None
        for (tenant_id, call_id), late in list(self._late.items()):
            if tenant_id == in_vain:
                continue
            try:
                ending = await self._write(tenant_id, call_id, late.closing)
            except LookupError:
                if trio.current_time() < late.expected_until:
                    continue
            except Problem:
                if in_vain is not None:
                    return
                in_vain = tenant_id  # perhaps only its turn does not come: the others need not wait for that
                continue
            else:
                log.info("meter.settled_late", call=call_id, state=ending.state, charge_ucr=ending.charge)
            self._late.pop((tenant_id, call_id), None)  # the last flush of all may run beside another

    async def _write(self, tenant_id: str, call_id: str, closing: Closing) -> Ending:
        return await self._db.write(tenant_id, lambda db: ledger.end(db, tenant_id, call_id, closing))

    async def sweep(self) -> int | None:
        """End every hold that is past its time, `expired` and free; how many, None when not all could be ended."""
        at = self._clock()
        closing = Closing("expired", "interrupted", 0, "none", "B13", "", at)
        expired = await self._expired(at)
        if expired is None:
            return None
        count, complete = 0, True
        for tenant_id, group in groupby(sorted(expired), key=itemgetter(0)):
            calls = [call for _, call in group]
            try:
                for first in range(0, len(calls), SWEPT_IN_ONE):
                    job = partial(_expire, tenant_id, calls[first : first + SWEPT_IN_ONE], closing)
                    count += await self._db.write(tenant_id, job)
            except Problem as problem:
                log.warning("meter.sweep_failed", error=str(problem))
                complete = False
        self.swept += count
        if count:
            log.warning("meter.swept", holds=count)
        return count if complete else None

    async def _expired(self, at_us: int) -> Iterable[tuple[str, str]] | None:
        """(tenant, call) of holds past their time, None without a database."""
        try:
            return await self._db.read(EVERY_TENANT, lambda db: ledger.expired(db, at_us, SWEPT_AT_ONCE))
        except Problem as problem:
            log.warning("meter.sweep_failed", error=str(problem))
            return None

    async def run_sweeper(self, every_s: float, grace_s: float) -> None:
        """Free the holds of calls whose process died (B12, B13), again and again; any process may do it.

        Waits `grace_s` at first, and when the database is back: the living must have prolonged their holds by then.
        """
        pause_s = grace_s
        while True:
            await trio.sleep(pause_s)
            pause_s = every_s
            if await self.sweep() is None:
                while await self._expired(0) is None:  # noqa: ASYNC110 - a database tells nobody that it is back
                    await trio.sleep(every_s)
                pause_s = grace_s


def _end(tenant_id: str, call_id: str, closing: Closing, beside: Beside | None, db: Transaction) -> Ending:
    ending = ledger.end(db, tenant_id, call_id, closing)
    if beside is not None:
        beside(db, ending)
    return ending


def _expire(tenant_id: str, call_ids: list[str], closing: Closing, db: Transaction) -> int:
    """How many of these calls this ended; another process may have been quicker."""
    return sum(ledger.end(db, tenant_id, call_id, closing).state == "expired" for call_id in call_ids)
