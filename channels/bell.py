"""Wakes a service of this process as soon as there is something to do; other processes notice it by looking."""

from __future__ import annotations

import trio


class Bell:
    """Rung by anybody, heard by the one task that waits."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, most_s: float) -> bool:
        """Until it was rung since the last wait, at most so long; whether it was."""
        with trio.move_on_after(most_s):
            await self._event.wait()
        rung = self._event.is_set()
        self._event = trio.Event()
        return rung
