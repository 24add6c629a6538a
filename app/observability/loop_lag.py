"""How late the event loop is: a task that sleeps a tenth of a second and looks by how much it overslept."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from app.observability.stats import Buckets

EVERY_S: Final = 0.1
WINDOW_S: Final = 10.0
CENTILE: Final = 0.99


class LoopLag:
    """Keeps the last ten seconds besides the histogram."""

    def __init__(self, histogram: Buckets) -> None:
        self._histogram = histogram
        self._last: deque[float] = deque(maxlen=round(WINDOW_S / EVERY_S))

    async def run(self) -> None:
        while True:
            due = trio.current_time() + EVERY_S
            await trio.sleep_until(due)
            late_s = trio.current_time() - due
            self._histogram.observe(late_s)
            self._last.append(late_s)

    def p99_s(self) -> float:
        """Of the last hundred samples: one stall among them is a hiccup, a second one is not."""
        ordered = sorted(self._last)
        return ordered[int(len(ordered) * CENTILE) - 1] if len(ordered) > 1 else 0.0
