"""The replicas of a cluster: kept at their number, replaced one after the other, drained together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from app.config import Settings
from scripts.clustering.backends import Backends
from scripts.clustering.replica import START_S, Replica, open_replica
from scripts.launching.directory import LaunchError

#: The pause before a dead replica's successor, doubled each time up to the second, the first again after a long life.
PAUSES_S: Final = (0.2, 5.0)
LONG_LIFE_S: Final = 30.0


class Fleet:
    """`say` gets a line when something happens; once all serve, `on_change` is called when others do."""

    def __init__(
        self, settings: Settings, backends: Backends, say: Callable[[str], None], on_change: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._say = say
        self._on_change = on_change
        self._serving: dict[int, Replica] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._asked: set[Replica] = set()
        self._is_complete = False
        self._is_draining = False
        self._is_rolling = False

    def replicas(self) -> list[Replica]:
        """Those that serve, by number."""
        return sorted(self._serving.values(), key=lambda each: each.number)

    async def run(self, count: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep `count` replicas until `drain`; started when all serve. Raises LaunchError when one does not start."""
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as starting:
                for number in range(1, count + 1):
                    starting.start_soon(nursery.start, partial(self._keep, number))
            self._is_complete = True
            task_status.started()

    async def roll(self) -> None:
        """Replace the replicas one after the other: drain one, start its successor, go on when that one serves."""
        if self._is_rolling:
            self._say("The replicas are being replaced already.")
            return
        self._is_rolling = True
        try:
            for old in self.replicas():
                self._say(f"Replacing replica {old.number}.")
                await self._end(old)
                with trio.move_on_after(START_S) as scope:
                    while self._serving.get(old.number) in {None, old}:
                        await self._changed.park()
                if scope.cancelled_caught:
                    self._say(f"Replica {old.number} does not come back; the others stay as they are.")
                    return
            self._say("All replicas are replaced.")
        finally:
            self._is_rolling = False

    async def drain(self) -> None:
        """End all replicas, each after its running calls; `run` returns then."""
        self._is_draining = True
        async with trio.open_nursery() as nursery:
            for replica in self.replicas():
                if replica not in self._asked:
                    nursery.start_soon(self._end, replica)
        while self._serving:
            await self._changed.park()

    def hurry(self) -> None:
        """The second signal to those that drain: cancel and settle what runs."""
        for replica in self._asked:
            replica.process.terminate()

    async def _end(self, replica: Replica) -> None:
        self._asked.add(replica)
        self._backends.remove(replica.url)
        if not await replica.end():
            self._say(f"Replica {replica.number} (pid {replica.pid}) did not end in its time and was killed.")

    async def _keep(self, number: int, *, task_status: trio.TaskStatus[None]) -> None:
        """One place in the fleet: a replica and its successors."""
        pause_s = PAUSES_S[0]
        is_first = True
        while not self._is_draining:
            began = trio.current_time()
            async with open_replica(number, self._settings) as replica:
                if await replica.wait_ready():
                    self._enter(replica)
                    if is_first:
                        task_status.started()
                    is_first = False
                    await replica.process.wait()
                    self._leave(replica)
                elif is_first:
                    raise LaunchError(f"Replica {number} did not start; what it said is above.")
            if replica in self._asked:
                self._asked.discard(replica)
                continue
            if trio.current_time() - began > LONG_LIFE_S:
                pause_s = PAUSES_S[0]
            code = replica.process.returncode
            self._say(f"Replica {number} (pid {replica.pid}) ended with {code}; another starts in {pause_s:g} s.")
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSES_S[1])

    def _enter(self, replica: Replica) -> None:
        self._serving[replica.number] = replica
        self._backends.add(replica.url)
        self._tell()

    def _leave(self, replica: Replica) -> None:
        del self._serving[replica.number]
        self._backends.remove(replica.url)
        self._tell()

    def _tell(self) -> None:
        self._changed.unpark_all()
        if self._is_complete:
            self._on_change()
