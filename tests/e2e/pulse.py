"""How late the one loop of clients, gateway and providers is: what no gateway can help on a machine that starves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import trio

BEAT_S: Final = 0.01
#: A close takes five turns of the loop: the socket tells the server, it the exchange, it the call, whose socket tells
#: the provider, which looks at its own.
TURNS: Final = 5


@dataclass(slots=True)
class Pulse:
    """`beats` are the times at which the loop was to come by, and how late it was, in seconds."""

    beats: list[tuple[float, float]] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            due = trio.current_time() + BEAT_S
            await trio.sleep_until(due)
            self.beats.append((due, trio.current_time() - due))

    @property
    def lateness(self) -> list[float]:
        return [late for _, late in self.beats]

    def excused_s(self, began: float, ended: float) -> float:
        """How long the turns of a close must have taken in that time, at worst."""
        return TURNS * max((late for due, late in self.beats if due < ended and due + late > began), default=0.0)
