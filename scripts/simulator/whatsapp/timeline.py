"""The simulator's clock, which can be put forward, and what is due on it."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Final

import trio

log = logging.getLogger("simulator")

MOST_DUE: Final = 200_000


class Timeline:
    """Unix seconds. It runs with trio's clock, so that a virtual one drives it too, from `start_s` or the real time."""

    def __init__(self, start_s: float | None = None) -> None:
        self._start_s = start_s
        self._began: float | None = None
        self._ahead = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._bell = trio.Event()

    def now(self) -> float:
        if self._began is None or self._start_s is None:
            self._began = trio.current_time()
            self._start_s = time.time() if self._start_s is None else self._start_s
        return self._start_s + trio.current_time() - self._began + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward; whatever is due by then happens at once, in order."""
        self._ahead += max(0.0, seconds)
        self._bell.set()

    @property
    def next_at(self) -> float | None:
        """When something is due next."""
        return self._due[0][0] if self._due else None

    def at(self, when: float, act: Callable[[], None]) -> bool:
        """Do it then; what is due at the same moment is done in the order it was asked for. False: too much is due."""
        if len(self._due) >= MOST_DUE:
            return False
        heapq.heappush(self._due, (when, next(self._numbers), act))
        if self._due[0][0] == when:
            self._bell.set()
        return True

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            while self._due and self._due[0][0] <= self.now():
                act = heapq.heappop(self._due)[2]
                try:
                    act()
                except Exception:
                    log.exception("something that was due failed")
            self._bell = trio.Event()
            wait_s = self._due[0][0] - self.now() if self._due else float("inf")
            with trio.move_on_after(max(0.0, wait_s)):
                await self._bell.wait()
