"""The timetable of a soak, made from its length alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: Until a gateway has all that it keeps: SQLite's pages alone fill its caches for some 9,000 calls.
WARM_SHARE: Final = 0.3
LONGEST_WARM_S: Final = 3600.0
LONGEST_IDLE_S: Final = 10.0
LONGEST_SAMPLE_S: Final = 2.0
SHORTEST_SAMPLE_S: Final = 0.2
RESTARTS: Final = 5
#: After the providers' return: a breaker's cool-down, and the trial call that closes it.
AFTERMATH_S: Final = 20.0
#: Bounds of the time between two restarts: routes must come back in between, and a day wants more than five.
RESTART_S: Final = (60.0, 3600.0)


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """`minutes` of load and one pause in it, at `rate` calls and `messages` by WhatsApp a second."""

    minutes: float
    rate: float
    messages: float = 0.0

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def warm_s(self) -> float:
        """Load before the pause: what is there in the pause is what the end is held against."""
        return min(self.seconds * WARM_SHARE, LONGEST_WARM_S)

    @property
    def idle_s(self) -> float:
        return min(LONGEST_IDLE_S, self.seconds / 10)

    @property
    def load_s(self) -> float:
        """Load after the pause."""
        return self.seconds - self.warm_s - self.idle_s

    @property
    def sample_s(self) -> float:
        """Between two samples: two seconds, less in a run of less than a minute."""
        return min(LONGEST_SAMPLE_S, max(self.seconds / 30, SHORTEST_SAMPLE_S))

    def restarts(self) -> Iterator[float]:
        """Seconds after the start at which the providers go away and come back: every fifth of the run.

        One comes in a warm-up that is long enough, so that the end is held against a gateway that has seen one, and one
        in the middle of the later load where the run is too short for more; none near the pause.
        """
        shortest, longest = RESTART_S
        pause = min(max(self.seconds / RESTARTS, shortest), longest)
        if self.warm_s >= 2 * AFTERMATH_S:
            yield self.warm_s / 2
        at = pause if pause < self.seconds else self.seconds - self.load_s / 2
        while at < self.seconds:
            if at > self.warm_s + self.idle_s:
                yield at
            at += pause
