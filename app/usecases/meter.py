"""The only place where anything is spent: a hold before the call, exactly one ending after it, whatever happens.

    async with meter.open_call(principal, ask) as call:
        ...                      # do the work; `await call.cover(cost)` while it grows
        await call.post(...)     # before the client sees the end

Leaving the block without `post` or `void` ends the call all the same: cancelled calls as `call.on_cancel` says, others
void. The ending is shielded and bounded; if the database is away for longer, the sweeper ends the call free of charge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import msgspec
import structlog
import trio

from app.core.allowance import Allowance
from app.core.billing import Bill
from app.core.errors import Problem, error_places
from app.core.identity import Clock, Principal, new_id, now_us
from app.core.ledger import Limits, Outcome, State
from app.storage import ledger
from app.storage.database import Database, Transaction
from app.storage.ledger import Closing, Ending, Opening

log = structlog.get_logger(__name__)

SETTLE_S: Final = 5.0
SETTLE_RETRY_S: Final = 0.25
FAILED: Final = Bill("failed", 0, "none", "B6")
#: Part of the hold that may be used before it is grown.
GROW_AT: Final = 0.75


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call wants: `hold_ucr` covers its prompt and a first step of output."""

    endpoint: str
    category: str
    model: str
    streamed: bool
    hold_ucr: int
    request_id: str
    limits: Limits


@dataclass(slots=True, eq=False)
class Call:
    """One admitted call. Its hold lives until `post` or `void`, or until the block around it is left."""

    id: str
    tenant_id: str
    hold_ucr: int
    allowance: Allowance
    _meter: Meter
    #: What a client that leaves now owes; asked at most once, when the block is left by a cancel.
    on_cancel: Callable[[], Bill] = field(default=lambda: Bill("cancelled", 0, "none", "B2"))
    #: Facts for the receipt, kept with the final row.
    receipt: dict[str, Any] = field(default_factory=dict)
    ending: Ending | None = None
    #: Whether the hold may still grow: getting less than was asked for is final for this call.
    growing: bool = True

    async def cover(self, cost_ucr: int, step_ucr: int, ceiling_ucr: int | None) -> bool:
        """Keep the hold ahead of `cost_ucr`, growing it by steps; False once it is used up and no more can be had.

        A hold of `ceiling_ucr`, the most this call can cost, need not grow.
        """
        if cost_ucr <= self.hold_ucr * GROW_AT or (ceiling_ucr is not None and self.hold_ucr >= ceiling_ucr):
            return True
        if self.growing:
            wanted = max(self.hold_ucr, cost_ucr) + step_ucr
            more = (wanted if ceiling_ucr is None else min(wanted, ceiling_ucr)) - self.hold_ucr
            expires = self._meter.clock() + self._meter.hold_us
            granted = await self._meter.db.write(
                lambda db: ledger.extend(db, self.tenant_id, self.id, more, expires), durable=False
            )
            self.growing = granted == more
            self.hold_ucr += granted
        return cost_ucr <= self.hold_ucr

    async def post(self, bill: Bill) -> Ending:
        """Charge `bill` and end the call. Raises Problem `storage_unavailable` when the charge could not be kept."""
        return await self._end("posted", bill)

    async def void(self, outcome: Outcome, rule: str) -> Ending:
        """End the call free of charge: the provider's fault or ours (design.md invariant 4)."""
        return await self._end("voided", Bill(outcome, 0, "none", rule))

    async def _end(self, state: State, bill: Bill) -> Ending:
        if self.ending is None:
            meter = self._meter
            receipt = msgspec.json.encode(self.receipt).decode()
            closing = Closing(state, bill.outcome, bill.cost_ucr, bill.basis, bill.rule, receipt, meter.clock())
            self.ending = await meter.end(self.tenant_id, self.id, closing)
        return self.ending


class Meter:
    """Admission and settlement over the database. `clock` gives microseconds since 1970."""

    def __init__(self, db: Database, *, hold_s: float = 1200.0, clock: Clock = now_us) -> None:
        self.db = db
        self.clock = clock
        self.hold_us = int(hold_s * 1e6)

    def open_call(self, principal: Principal, ask: Ask) -> OpenCall:
        """An async context manager that admits a call and owns its hold for the length of the block.

        Entering raises Problem when the call may not start, StaleKey when the principal must be read again.
        On cancel the call is charged what `on_cancel` says; on any exception it is free.
        """
        return OpenCall(self, principal, ask)

    async def end(self, tenant_id: str, call_id: str, closing: Closing) -> Ending:
        """Write a call's ending, trying again for a few seconds while the database is away. Not cancellable."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + SETTLE_S):
            while True:
                try:
                    return await self.db.write(lambda db: ledger.end(db, tenant_id, call_id, closing))
                except Problem as problem:
                    if problem.code != "storage_unavailable":
                        raise
                    await trio.sleep(SETTLE_RETRY_S)
        log.error("meter.settle_failed", call=call_id, cost_ucr=closing.cost, basis=closing.basis)
        raise Problem(
            "storage_unavailable",
            "The answer could not be accounted for in time. Look at its receipt before you try again.",
        )

    async def run_sweeper(self, every_s: float) -> None:
        """Free the holds of calls whose process died: they end `expired`, uncharged, `interrupted` (B12, B13)."""
        while True:
            await self.sweep()
            await trio.sleep(every_s)

    async def sweep(self) -> int:
        """End every hold that is past its time; returns how many."""
        try:
            count = await self.db.write(lambda db: _sweep(db, self.clock()))
        except Problem as problem:
            log.warning("meter.sweep_failed", error=str(problem))
            return 0
        if count:
            log.warning("meter.swept", holds=count)
        return count

    async def admit(self, principal: Principal, ask: Ask) -> Call:
        """Take the hold. Use `open_call`, which sees to it that it ends."""
        at = self.clock()
        opening = Opening(
            id=new_id("chatcmpl-" if ask.category == "llm" else "call_", at),
            request_id=ask.request_id,
            endpoint=ask.endpoint,
            category=ask.category,
            model=ask.model,
            streamed=ask.streamed,
            hold=ask.hold_ucr,
            at_us=at,
            expires_us=at + self.hold_us,
        )
        tenant = principal.tenant_id
        try:
            allowance = await self.db.write(
                lambda db: ledger.admit(db, tenant, principal, ask.limits, opening), durable=False
            )
        except Problem as problem:
            if problem.code == "storage_unavailable":  # It may still happen: then nobody would end it.
                self.db.write_later(lambda db: ledger.end(db, tenant, opening.id, Closing.unasked(self.clock())))
            raise
        return Call(opening.id, tenant, ask.hold_ucr, allowance, self)

    async def leave(self, call: Call, *, cancelled: bool) -> None:
        """End a call that has not ended by itself."""
        if call.ending is not None:
            return
        bill = _cancel_bill(call) if cancelled else FAILED
        state: State = "posted" if bill.cost_ucr or bill.basis != "none" else "voided"
        try:
            await call._end(state, bill)
        except Problem as problem:
            log.error("meter.left_open", call=call.id, error=str(problem))


class OpenCall:
    """What `Meter.open_call` gives: the block in which a call is open."""

    __slots__ = ("_ask", "_call", "_meter", "_principal")

    def __init__(self, meter: Meter, principal: Principal, ask: Ask) -> None:
        self._meter = meter
        self._principal = principal
        self._ask = ask
        self._call: Call

    async def __aenter__(self) -> Call:
        self._call = await self._meter.admit(self._principal, self._ask)
        return self._call

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        cancelled = isinstance(error, trio.Cancelled) or (
            isinstance(error, BaseExceptionGroup) and error.split(trio.Cancelled)[1] is None
        )
        await self._meter.leave(self._call, cancelled=cancelled)


def _cancel_bill(call: Call) -> Bill:
    """What a client that leaves now owes; nothing when that cannot be said, which is our bug."""
    try:
        return call.on_cancel()
    except Exception as error:  # noqa: BLE001 - whatever it is, the hold must end
        log.error("meter.bill_failed", call=call.id, errors=error_places(error))
        return FAILED


def _sweep(db: Transaction, at_us: int) -> int:
    swept = 0
    closing = Closing("expired", "interrupted", 0, "none", "B13", "", at_us)
    for tenant_id, call_id in ledger.expired(db, at_us, 1000):
        ledger.end(db, tenant_id, call_id, closing)
        swept += 1
    return swept
