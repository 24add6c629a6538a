"""Virtual time over a real database: the clock jumps only when nothing is under way in it, and a process can die at any
commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from app.storage.database import Engine, Job, StorageError, Ticket

T = TypeVar("T")
#: Sums of floats fall short of a deadline; a microsecond is what our times are counted in.
NUDGE_S: Final = 1e-6
#: After so many jumps without a commit it is asked whether anything is due at all.
QUIET_JUMPS: Final = 20


class Traffic:
    """What is under way in threads, which is real time. With `at_once` they take none at all, and a day is the same
    each time; it will not do for an engine whose threads wait for each other.
    """

    def __init__(self, *, at_once: bool) -> None:
        self.flying = 0
        self.commits = 0
        self._at_once = at_once
        self._landed = trio.Event()
        self._run_sync = trio.to_thread.run_sync

    async def run_sync(self, function: Callable[..., T], *values: Any, **how: Any) -> T:
        """In place of `trio.to_thread.run_sync`."""
        if self._at_once:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            return function(*values)
        self.flying += 1
        try:
            return await self._run_sync(function, *values, **how)
        finally:
            self.flying -= 1
            self._landed.set()

    async def landed(self) -> None:
        """Until a thread has come back."""
        self._landed = trio.Event()
        await self._landed.wait()


class MortalEngine:
    """An engine of a process that can be killed: at once, or at a commit, which is kept or not.

    What is killed does nothing any more, whatever its tasks still try: nothing that they clean up is a rescue.
    """

    def __init__(self, engine: Engine, traffic: Traffic) -> None:
        self.inner = engine
        self.always_durable = engine.always_durable
        self.died = trio.Event()
        self._traffic = traffic
        self._fuse: tuple[int, bool] | None = None

    def kill(self, *, commits: int = 0, kept: bool = False) -> None:
        """Die after so many commits; with `kept` just behind the next one, else just before it."""
        if commits or kept:
            self._fuse = commits, kept
        else:
            self.died.set()

    async def commit(self, tickets: list[Ticket]) -> None:
        self._check()
        burnt, kept = self._burn()
        if burnt and not kept:
            self.died.set()
            self._check()
        await self.inner.commit(tickets)
        self._traffic.commits += 1
        if burnt:
            self.died.set()
            self._check()

    async def read(self, scope: str, job: Job[T]) -> T:
        self._check()
        return await self.inner.read(scope, job)

    def close(self) -> None:
        self.died.set()
        self.inner.close()

    def _check(self) -> None:
        if self.died.is_set():
            raise StorageError("the process is dead")

    def _burn(self) -> tuple[bool, bool]:
        if self._fuse is None:
            return False, False
        left, kept = self._fuse
        self._fuse = left - 1, kept
        return left <= 0, kept


async def turn_the_clock(clock: MockClock, traffic: Traffic, nothing_until: Callable[[], float | None]) -> None:
    """Let time pass. `nothing_until` says until when nothing is due, in trio's seconds; None: it is not
    known, and every timer is met.
    """
    jumps, commits = 0, -1
    while True:
        await wait_all_tasks_blocked()
        if traffic.flying:
            await traffic.landed()
            continue
        jumps, commits = (jumps + 1, commits) if commits == traffic.commits else (0, traffic.commits)
        step_s = trio.lowlevel.current_statistics().seconds_to_next_deadline
        if jumps >= QUIET_JUMPS:
            jumps = 0
            rest = nothing_until()
            if rest is not None:
                step_s = max(step_s, rest - trio.current_time())
        clock.jump(min(max(step_s, 0.0), 3600.0) + NUDGE_S)
