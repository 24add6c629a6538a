"""The only place where anything is spent: a hold before the call, exactly one ending after it, whatever happens.

    async with meter.open_call(principal, ask) as call:
        ...                      # do the work; `await call.cover(cost)` while it grows
        await call.post(...)     # before the client sees the end

Leaving the block without `post` or `void` ends the call all the same: cancelled calls as `call.on_cancel` says, others
void. The ending is shielded and waits for a database that is away, up to `settle_s`; what could not be written by then
is kept in memory and written when the database is back (`run_settler`). A process that dies before leaves the hold to
the sweeper of any other, which ends the call free of charge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from types import TracebackType
from typing import Any, Final

import msgspec
import structlog
import trio

from app.core.allowance import Allowance
from app.core.billing import Bill
from app.core.call_facts import UNMARKED, Marks, measured
from app.core.errors import Problem, error_places
from app.core.identity import Clock, Principal, new_id, now_us
from app.core.ledger import Limits, Outcome, State
from app.storage import idempotency, ledger
from app.storage.database import Database, Transaction
from app.storage.ledger import Closing, Ending, Opening
from app.usecases.refusals import tell_budget_refusal
from app.usecases.settling import Beside, Late, Settler

log = structlog.get_logger(__name__)

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
    #: What the call's id begins with; by its category if empty.
    id_prefix: str = ""
    marks: Marks = UNMARKED


@dataclass(slots=True, eq=False)
class Call:
    """One admitted call. Its hold lives until `post` or `void`, or until the block around it is left."""

    id: str
    tenant_id: str
    hold_ucr: int
    expires_us: int
    allowance: Allowance
    _meter: Meter
    #: What a client that leaves now owes; asked at most once, when the block is left by a cancel.
    on_cancel: Callable[[], Bill] = field(default=lambda: Bill("cancelled", 0, "none", "B2"))
    #: Called when the block has been left and the ending is written or handed over: for monitoring.
    on_end: Callable[[], None] = field(default=lambda: None)
    #: Facts for the receipt, kept with the final row.
    receipt: dict[str, Any] = field(default_factory=dict)
    #: What the call owes, once that is known; the ending tells what of it was charged.
    bill: Bill | None = None
    ending: Ending | None = None
    #: The settler ends it when the database is back.
    handed_over: bool = False
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
                self.tenant_id,
                lambda db: ledger.extend(db, self.tenant_id, self.id, more, expires),
                durable=False,
                leave=True,  # a client that hangs up must not wait for it; the ending sees by how much the hold grew
            )
            self.growing = granted == more
            self.expires_us = expires if granted else self.expires_us
            self.hold_ucr += granted
        return cost_ucr <= self.hold_ucr

    async def post(self, bill: Bill, beside: Beside | None = None) -> Ending:
        """Charge `bill` and end the call. Raises Problem `storage_unavailable` when the charge could not be kept.

        `beside` is written in the same transaction: both are kept, or neither.
        """
        return await self._end("posted", bill, beside)

    async def void(self, outcome: Outcome, rule: str) -> Ending:
        """End the call free of charge: the provider's fault or ours (design.md invariant 4)."""
        return await self._end("voided", Bill(outcome, 0, "none", rule))

    async def _end(self, state: State, bill: Bill, beside: Beside | None = None) -> Ending:
        if self.ending is None:
            meter = self._meter
            self.bill = bill
            closing = Closing(
                *(state, bill.outcome, bill.cost_ucr, bill.basis, bill.rule),
                receipt=msgspec.json.encode(self.receipt).decode(),
                at_us=meter.clock(),
                failure=self.receipt.get("failure", ""),
                measured=measured(self.receipt),
            )
            # A client that is there is told that it failed: then it must be free.
            otherwise = closing if bill.outcome == "cancelled" else closing.unpaid()
            try:
                self.ending = await meter.settler.end(self.tenant_id, self.id, closing, otherwise, beside)
            except Late:
                self.handed_over = True
                raise
        return self.ending


class Meter:
    """Admission and settlement over the database. `clock` gives microseconds since 1970."""

    def __init__(self, db: Database, *, hold_s: float = 120.0, settle_s: float = 20.0, clock: Clock = now_us) -> None:
        self.db = db
        self.clock = clock
        self.settler = Settler(db, settle_s, clock)
        self.hold_us = int(hold_s * 1e6)
        self.renew_s = hold_s / 4
        self._open: set[Call] = set()

    @property
    def open_calls(self) -> int:
        """How many calls this process holds open."""
        return len(self._open)

    def open_call(self, principal: Principal, ask: Ask) -> OpenCall:
        """An async context manager that admits a call and owns its hold for the length of the block.

        Entering raises Problem when the call may not start, StaleKey when the principal must be read again.
        On cancel the call is charged what `on_cancel` says; on any exception it is free.
        """
        return OpenCall(self, principal, ask)

    async def admit(self, principal: Principal, ask: Ask) -> Call:
        """Take the hold. Use `open_call`, which sees to it that it ends."""
        at = self.clock()
        opening = Opening(
            id=new_id(ask.id_prefix or ("chatcmpl-" if ask.category == "llm" else "call_"), at),
            request_id=ask.request_id,
            endpoint=ask.endpoint,
            category=ask.category,
            model=ask.model,
            streamed=ask.streamed,
            hold=ask.hold_ucr,
            at_us=at,
            expires_us=at + self.hold_us,
            marks=ask.marks,
        )
        tenant = principal.tenant_id
        try:
            allowance = await self.db.write(tenant, partial(_admit, principal, ask.limits, opening), durable=False)
        except Problem as problem:
            if problem.code == "storage_unavailable":  # It may still happen: then nobody would end it.
                self.settler.end_later(tenant, opening.id, Closing.unasked(self.clock()))
            if problem.code == "budget_exceeded":
                await tell_budget_refusal(self.db, tenant, principal.key_id, opening.hold, at)
            raise
        call = Call(opening.id, tenant, ask.hold_ucr, opening.expires_us, allowance, self)
        self._open.add(call)
        return call

    async def run_renewer(self) -> None:
        """Prolong the holds of open calls long before they expire: a hold that expires has lost its process."""
        while True:
            await trio.sleep(self.renew_s)
            await self.renew()

    async def renew(self) -> int:
        """Prolong what has lost a quarter of its life; returns how many. What fails is tried the next time."""
        expires = self.clock() + self.hold_us
        due = [call for call in self._open if call.expires_us <= expires - self.hold_us // 4]
        count = 0
        for tenant_id, calls in groupby(sorted(due, key=_tenant), key=_tenant):
            renewed = list(calls)
            ids = [call.id for call in renewed]
            try:
                await self.db.write(tenant_id, partial(_renew, tenant_id, ids, expires))
            except Problem as problem:
                log.warning("meter.renew_failed", error=str(problem))
                continue
            for call in renewed:
                call.expires_us = expires
            count += len(renewed)
        return count

    async def leave(self, call: Call, error: BaseException | None) -> None:
        """End a call that has not ended by itself; `error` is what its block was left by."""
        self._open.discard(call)
        if call.handed_over or call.ending is not None:
            return
        bill = _cancel_bill(call) if _is_cancel(error) else FAILED
        if bill.outcome == "failed":
            call.receipt.setdefault("failure", error.code if isinstance(error, Problem) else "internal_error")
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
        try:
            await self._meter.leave(self._call, error)
        finally:
            self._call.on_end()


def _is_cancel(error: BaseException | None) -> bool:
    return isinstance(error, trio.Cancelled) or (
        isinstance(error, BaseExceptionGroup) and error.split(trio.Cancelled)[1] is None
    )


def _tenant(call: Call) -> str:
    return call.tenant_id


def _admit(principal: Principal, limits: Limits, opening: Opening, db: Transaction) -> Allowance:
    """Whoever has lost the idempotency key that it spends under is refused in the same transaction."""
    allowance = ledger.admit(db, principal.tenant_id, principal, limits, opening)
    if principal.claim is not None:
        idempotency.bind(db, principal.tenant_id, principal.claim, opening.id)
    return allowance


def _renew(tenant_id: str, call_ids: list[str], expires_us: int, db: Transaction) -> None:
    ledger.renew(db, tenant_id, call_ids, expires_us)


def _cancel_bill(call: Call) -> Bill:
    """What a client that leaves now owes; nothing when that cannot be said, which is our bug."""
    try:
        return call.on_cancel()
    except Exception as error:  # noqa: BLE001 - whatever it is, the hold must end
        log.error("meter.bill_failed", call=call.id, errors=error_places(error))
        return FAILED
