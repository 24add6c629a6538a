"""Sends what is queued: any process takes up what may go, marks it as on its way, sends it and writes down what came of
it (channels.md sections 7 and 8).

At most once: what is marked is committed before a byte leaves, and what nobody knows the outcome of is not sent again
(`channels.outbound.reconciling`). Numbers have rooms of their own, so that none waits for another's dead provider.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import structlog
import trio

from app.core.delivery_room import Room
from app.core.errors import Problem, error_places
from app.core.identity import Clock, now_us
from app.observability.channels import ChannelMetrics
from app.providers.whatsapp.line import Letter, Line, NotSent, OutcomeUnknown, Recipient, Refused, Sent
from app.storage import send_queue
from app.storage.database import EVERY_TENANT, Database
from app.storage.numbers import StoredNumber
from app.storage.send_queue import Queue
from channels.bell import Bell
from channels.conversations import contents
from channels.outbound.enclosing import Files, enclosed
from channels.outbound.outcomes import UNKNOWN_US, Outcome, answered_us, named, record
from channels.outbound.taking import Idle, Taken, idle, take

log = structlog.get_logger(__name__)
LOOK_EVERY_S: Final = 0.25
#: How many numbers with something to send a look takes in; the next look goes on behind them.
LOOKED_AT: Final = 100
#: One task sends so many before it makes room for another number.
BURST: Final = 16
MOST: Final = 400
MOST_OF_NUMBER: Final = 16
MOST_OF_TENANT: Final = 48
#: For an answer to a request, with the upload of its file; a line itself gives up a little earlier.
SEND_S: Final = 12.0
UPLOAD_S: Final = 15.0
#: Longer than an attempt by the time that a database may be away before the outcome is lost.
LEASE_US: Final = 40_000_000
RETRY_S: Final = 1.0
#: How long attempts under way may go on when the server has to stop.
DRAIN_S: Final = 10.0
#: A pause for the number's pace that is no longer is waited for in place.
PATIENCE_US: Final = 1_000_000
LATE: Final = f"no answer within {SEND_S:g} s"
OURS: Final = "an error of ours"


class Lines(Protocol):
    """The ways out. Raises Problem for a number whose secrets cannot be opened."""

    def of(self, tenant_id: str, number: StoredNumber) -> Line: ...


class Senders:
    """The service of one process. What another one dropped is found when its lease is over."""

    def __init__(
        self,
        db: Database,
        lines: Lines,
        *,
        bell: Bell,
        clock: Clock = now_us,
        files: Files | None = None,
        jitter: Callable[[], float] = random.random,
        metrics: ChannelMetrics | None = None,
    ) -> None:
        self._db = db
        self._lines = lines
        self._bell = bell
        self._clock = clock
        self._files = files
        self._jitter = jitter
        self._metrics = metrics or ChannelMetrics()
        self._room = Room(most=MOST, most_of_host=MOST_OF_NUMBER, most_of_tenant=MOST_OF_TENANT)
        self._after = ""
        #: Until when a number need not be looked at; those that wait for a pace, whose end nothing brings nearer.
        self._idle: dict[str, Idle] = {}
        self._pacing: set[str] = set()
        self._stop = trio.Event()
        #: Set when `run` is over.
        self.ended = trio.Event()

    async def run(self, shutdown: trio.Event, hurry: trio.Event) -> None:
        """Send what may go until `shutdown`. Attempts under way may then end, bounded, or until `hurry`."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, hurry, nursery.cancel_scope)
                nursery.start_soon(self._stop_after, shutdown)
                async with trio.open_nursery() as attempts:
                    while not self._stop.is_set():
                        pause_s = await self._look(attempts)
                        if await self._bell.wait(pause_s):
                            self._wake()
                    attempts.cancel_scope.deadline = trio.current_time() + DRAIN_S
                nursery.cancel_scope.cancel()
        finally:
            self.ended.set()

    async def _stop_after(self, shutdown: trio.Event) -> None:
        await shutdown.wait()
        self._stop.set()
        self._bell.ring()

    def _wake(self) -> None:
        """There is something new: what only had nothing to send is looked at again."""
        soon = self._clock() + PATIENCE_US
        self._idle = {number_id: idle for number_id, idle in self._idle.items() if idle.pace or idle.until_us > soon}

    async def _look(self, attempts: trio.Nursery) -> float:
        """Start a task for each number with something due, as far as there is room; how long to pause then."""
        after = self._after
        try:
            found = await self._db.read(EVERY_TENANT, lambda db: send_queue.queues(db, after, LOOKED_AT))
        except Problem as problem:
            log.warning("senders.not_looked", error=str(problem))
            return RETRY_S
        more = len(found) == LOOKED_AT
        self._after = found[-1].number_id if more else ""
        at = self._clock()
        self._idle = {number_id: idle for number_id, idle in self._idle.items() if idle.until_us > at}
        for queue in found:
            if queue.due_us <= at and queue.number_id not in self._idle:
                self._start(attempts, queue)
        return 0.0 if more and self._after else LOOK_EVERY_S

    def _start(self, attempts: trio.Nursery, queue: Queue) -> None:
        if not self._stop.is_set() and self._room.enter(queue.number_id, queue.tenant_id, trio.current_time()):
            attempts.start_soon(self._serve, attempts, queue)

    async def _serve(self, attempts: trio.Nursery, queue: Queue) -> None:
        """Send what may leave one number, in a place of the room that is taken already."""
        number_id = queue.number_id
        try:
            for sent in range(BURST):
                taken = await self._take(queue, look_first=sent == 0)
                if taken is None:
                    return
                if taken.more:
                    self._start(attempts, queue)
                began = trio.current_time()
                outcome = await self._attempt(queue.tenant_id, taken)
                self._metrics.send_attempted(taken.number.provider, named(outcome), trio.current_time() - began)
                spoke = not isinstance(outcome, NotSent | OutcomeUnknown)
                self._room.heard(number_id, spoke=spoke, now=trio.current_time())
                await self._record(queue.tenant_id, taken, outcome)
                if isinstance(outcome, Sent) and taken.candidate.origin == "reply":
                    await self._tell(queue.tenant_id, taken)
                if not spoke:
                    return
            self._bell.ring()
        except Problem as problem:
            log.warning("senders.not_taken", tenant=queue.tenant_id, error=str(problem))
        except Exception as crash:  # noqa: BLE001 - a bug: it must not end the service; what it left open is found later
            log.error("senders.crashed", number=number_id, errors=error_places(crash))
        finally:
            self._room.leave(number_id, queue.tenant_id)

    async def _take(self, queue: Queue, *, look_first: bool) -> Taken | None:
        """The next one of this number; a short pause for its pace is waited for by one task.

        With `look_first` it is read whether there is anything to do: a number that only waits is not written to.
        """
        tenant_id, number_id = queue.tenant_id, queue.number_id
        while not self._stop.is_set():
            at = self._clock()
            look = partial(idle, tenant_id=tenant_id, number_id=number_id, at_us=at)
            job = partial(take, tenant_id=tenant_id, number_id=number_id, at_us=at, lease_us=at + LEASE_US)
            found: Taken | Idle | None = await self._db.read(tenant_id, look) if look_first else None
            look_first = False
            if found is None:
                found = await self._db.write(tenant_id, job)
            if isinstance(found, Taken):
                return found
            pause_us = found.until_us - at
            if not found.pace or pause_us > PATIENCE_US or number_id in self._pacing:
                self._idle[number_id] = found
                return None
            self._pacing.add(number_id)
            try:
                with trio.move_on_after(pause_us / 1e6):
                    await self._stop.wait()
            finally:
                self._pacing.discard(number_id)
        return None

    async def _attempt(self, tenant_id: str, taken: Taken) -> Outcome:
        """Send it once. Never fails: what went wrong is the outcome."""
        try:
            line, letter = await self._letter(tenant_id, taken)
            with trio.move_on_after(SEND_S):
                return await line.send(letter)
        except (Refused, NotSent, OutcomeUnknown) as failure:
            return failure
        except Exception as crash:  # noqa: BLE001 - a bug: it must neither end the service nor send anything twice
            log.error("senders.attempt_crashed", send=taken.id, errors=error_places(crash))
            return OutcomeUnknown(OURS)
        return OutcomeUnknown(LATE)

    async def _letter(self, tenant_id: str, taken: Taken) -> tuple[Line, Letter]:
        """What is sent and where, with its file uploaded. Raises Refused, NotSent."""
        candidate = taken.candidate
        try:
            line = self._lines.of(tenant_id, taken.number)
        except Problem as problem:
            raise Refused("account", "secrets", problem.message) from None
        try:
            content = contents.read(candidate.kind, candidate.body)
            reply_to = contents.answered(candidate.body)
        except ValueError as error:
            raise Refused("content", "body", str(error)) from None
        with trio.move_on_after(UPLOAD_S) as upload:
            content = await enclosed(line, self._files, tenant_id, taken.number.provider, content)
        if upload.cancelled_caught:
            raise NotSent("the file could not be uploaded in time")
        return line, Letter(Recipient(candidate.phone, candidate.user_id), content, taken.id, reply_to)

    async def _record(self, tenant_id: str, taken: Taken, outcome: Outcome) -> None:
        """Write down what came of it, waiting for a database that is away for as long as that changes anything."""
        jitter = self._jitter()
        while (at := self._clock()) < taken.lease_us + UNKNOWN_US:
            job = partial(record, tenant_id=tenant_id, taken=taken, outcome=outcome, at_us=at, jitter=jitter)
            try:
                ours = await self._db.write(tenant_id, job)
            except Problem as problem:
                log.warning("senders.not_recorded", send=taken.id, error=str(problem))
                await trio.sleep(RETRY_S)
                continue
            if not ours:
                log.warning("senders.gone_on_without_us", send=taken.id)
            if isinstance(outcome, Refused):
                log.info("senders.refused", send=taken.id, kind=outcome.kind, code=outcome.code)
            return
        log.error("senders.outcome_lost", tenant=tenant_id, send=taken.id)

    async def _tell(self, tenant_id: str, taken: Taken) -> None:
        """Count how long the user has waited for an answer whose first part the provider has taken."""
        at = self._clock()
        try:
            asked_us = await self._db.read(tenant_id, lambda db: answered_us(db, tenant_id, taken.id))
        except Problem:  # a figure is lost, nothing else
            return
        if asked_us is not None:
            self._metrics.replied(max(0, at - asked_us) / 1e6)


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
