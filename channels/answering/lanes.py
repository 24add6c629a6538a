"""One turn at a time in each conversation, in the whole installation: whoever has a lane's lease works on it.

Each process looks for lanes that are due, claims some and runs their turns; what a dead process had is due again when
its lease is over. A turn that loses its lease is cancelled before it can write (channels.md section 4.1).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

import structlog
import trio

from app.core.errors import Problem, error_places
from app.core.identity import Clock, new_token, now_us
from app.storage import bot_turns, lanes
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.lanes import DueLane
from channels.bell import Bell

log = structlog.get_logger(__name__)
#: Work for other processes' messages is noticed so much later at most.
LOOK_EVERY_S: Final = 0.5
#: Looks come no closer together, however often the bell rings.
REST_S: Final = 0.01
#: Turns under way in one process.
MOST_LANES: Final = 2000
#: Of one tenant, so that the others get theirs.
MOST_OF_TENANT: Final = 1000
LOOKED_AT: Final = 256
LEASE_US: Final = 60_000_000
RENEW_S: Final = 20.0
RETRY_S: Final = 1.0
#: That a bot or a number was switched off is noticed so much later at most.
SILENT_EVERY_S: Final = 1.0
#: How long turns under way may go on when the server has to stop.
DRAIN_S: Final = 20.0
#: And then for saying that they are for others.
PUT_DOWN_S: Final = 2.0


class Nudge:
    """Tells a running turn that something has changed in its conversation."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._doubted = False
        self.told = 0

    def tell(self, touched: int) -> None:
        if touched > self.told:
            self.told = touched
            self._event.set()

    def doubt(self) -> None:
        """Its bot may be off, of which its lane does not tell."""
        self._doubted = True
        self._event.set()

    def asks(self, seen: int) -> bool:
        """Whether a turn that knows of `seen` changes has to look what has become of it; a doubt is told once."""
        doubted, self._doubted = self._doubted, False
        return doubted or self.told > seen

    async def wait(self) -> None:
        """Until it was told of something new."""
        await self._event.wait()
        self._event = trio.Event()


class TurnRunner(Protocol):
    """Answers what waits in a conversation."""

    async def run(self, tenant_id: str, conversation_id: str, owner: str, nudge: Nudge) -> int:
        """Until nothing waits; how many changes of the lane are dealt with. Raises Problem when it cannot go on."""
        ...


class Lanes:
    """The service of one process."""

    def __init__(self, db: Database, turns: TurnRunner, *, bell: Bell, clock: Clock = now_us) -> None:
        self._db = db
        self._turns = turns
        self._bell = bell
        self._clock = clock
        self._owner = new_token()
        self._running: dict[str, tuple[str, Nudge]] = {}
        self._silent_at = -math.inf
        self._stopping = False
        #: Set when `run` is over.
        self.ended = trio.Event()

    @property
    def working(self) -> int:
        """How many conversations this process works on."""
        return len(self._running)

    async def run(self, shutdown: trio.Event, hurry: trio.Event) -> None:
        """Run turns as they fall due until `shutdown`. Those under way may then end, bounded, or until `hurry`."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, hurry, nursery.cancel_scope)
                nursery.start_soon(_ring_after, shutdown, self._bell)
                async with trio.open_nursery() as working:
                    while not shutdown.is_set():
                        pause_s = await self._look(working)
                        await trio.sleep(REST_S)
                        await self._bell.wait(pause_s)
                    self._stopping = True
                    working.cancel_scope.deadline = trio.current_time() + DRAIN_S
                nursery.cancel_scope.cancel()
        finally:
            self.ended.set()

    async def _look(self, working: trio.Nursery) -> float:
        """Start a task for each lane that is due, as far as there is room, and tell running ones; how long to pause."""
        at, working_on = self._clock(), bool(self._running)
        silence_due = working_on and trio.current_time() >= self._silent_at + SILENT_EVERY_S
        full = [tenant_id for tenant_id, count in self._tenants().items() if count >= MOST_OF_TENANT]
        try:
            due, next_us, touched, silent = await self._db.read(
                EVERY_TENANT,
                lambda db: (
                    lanes.due(db, at, LOOKED_AT, full),
                    lanes.next_due(db, at),
                    lanes.touched(db, self._owner) if working_on else {},
                    lanes.silent(db, self._owner) if silence_due else [],
                ),
            )
        except Problem as problem:
            log.warning("lanes.not_looked", error=str(problem))
            return RETRY_S
        if silence_due:
            self._silent_at = trio.current_time()
        for conversation_id, count in touched.items():
            if conversation_id in self._running:
                self._running[conversation_id][1].tell(count)
        for conversation_id in silent:
            if conversation_id in self._running:
                self._running[conversation_id][1].doubt()
        self._start(working, due)
        wait_s = LOOK_EVERY_S if next_us is None else (next_us - self._clock()) / 1e6
        return min(LOOK_EVERY_S, max(0.0, wait_s))

    def _start(self, working: trio.Nursery, due: Sequence[DueLane]) -> None:
        tenants = self._tenants()
        for lane in due:
            if len(self._running) >= MOST_LANES:
                return
            if lane.conversation_id in self._running or tenants[lane.tenant_id] >= MOST_OF_TENANT:
                continue
            nudge = Nudge()
            self._running[lane.conversation_id] = (lane.tenant_id, nudge)
            tenants[lane.tenant_id] += 1
            working.start_soon(self._work, lane, nudge)

    def _tenants(self) -> Counter[str]:
        """How many lanes of each this process works on."""
        return Counter(tenant_id for tenant_id, _ in self._running.values())

    async def _work(self, lane: DueLane, nudge: Nudge) -> None:
        """One lane, from claim to leaving. A turn that could not go on is tried again when its lease is over."""
        tenant_id, conversation_id = lane.tenant_id, lane.conversation_id
        claimed, broken_off = False, True
        try:
            claimed = await self._claim(tenant_id, conversation_id)
            if not claimed:
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._renew, tenant_id, conversation_id, nursery.cancel_scope)
                try:
                    seen = await self._turns.run(tenant_id, conversation_id, self._owner, nudge)
                    await self._leave(tenant_id, conversation_id, seen)
                except Problem as problem:
                    log.warning("lanes.turn_stopped", conversation=conversation_id, error=str(problem))
                nursery.cancel_scope.cancel()
            broken_off = False
        except Problem as problem:
            log.warning("lanes.not_claimed", error=str(problem))
        except Exception as error:  # noqa: BLE001 - a bug: it must neither end the service nor be met at once again
            log.error("lanes.turn_crashed", conversation=conversation_id, errors=error_places(error))
            broken_off = False
        finally:
            if claimed and broken_off and self._stopping:
                await self._put_down(tenant_id, conversation_id)
            del self._running[conversation_id]
            if claimed:  # what could not be claimed is not to be met at once again
                self._bell.ring()

    async def _claim(self, tenant_id: str, conversation_id: str) -> bool:
        at = self._clock()
        claimed = await self._db.write(
            tenant_id,
            lambda db: lanes.claim(db, tenant_id, conversation_id, self._owner, at, at + LEASE_US),
            durable=False,
        )
        return claimed is not None

    async def _renew(self, tenant_id: str, conversation_id: str, scope: trio.CancelScope) -> None:
        lease_us = self._clock() + LEASE_US
        while True:
            await trio.sleep(RENEW_S)
            until_us = self._clock() + LEASE_US
            renew = partial(_renew, tenant_id, conversation_id, self._owner, until_us)
            try:
                held = await self._db.write(tenant_id, renew, durable=False)
            except Problem:
                held = self._clock() < lease_us - int(RENEW_S * 1e6)
            else:
                lease_us = until_us
            if not held:
                log.warning("lanes.lost", conversation=conversation_id)
                scope.cancel()
                return

    async def _put_down(self, tenant_id: str, conversation_id: str) -> None:
        """The server stops before the turn has ended: another process begins it anew at once."""

        def write(db: Transaction) -> None:
            if lanes.put_down(db, tenant_id, conversation_id, self._owner):
                bot_turns.forgive(db, tenant_id, conversation_id)

        with trio.move_on_after(PUT_DOWN_S, shield=True):
            try:
                await self._db.write(tenant_id, write, durable=False)
            except Problem as problem:
                log.warning("lanes.not_put_down", conversation=conversation_id, error=str(problem))

    async def _leave(self, tenant_id: str, conversation_id: str, seen: int) -> None:
        await self._db.write(
            tenant_id, lambda db: lanes.leave(db, tenant_id, conversation_id, self._owner, seen), durable=False
        )


def _renew(tenant_id: str, conversation_id: str, owner: str, until_us: int, db: Transaction) -> bool:
    return lanes.renew(db, tenant_id, conversation_id, owner, until_us)


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _ring_after(event: trio.Event, bell: Bell) -> None:
    await event.wait()
    bell.ring()
