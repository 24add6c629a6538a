"""How fast messages may leave, and when one that was refused may be tried again (channels.md sections 7 and 8). Pure.

Buckets are one stored number each (GCRA): the theoretical arrival time. Times are microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.providers.whatsapp.line import RefusalKind

SECOND_US: Final = 1_000_000
#: Of what a number may send in a second so much may leave at once; the rest is spread, so that no second has more.
AT_ONCE: Final = 10
#: A number that was too fast is slowed to no less than one message in so long.
SLOWEST_US: Final = 10 * SECOND_US
#: After a pause for being too fast, the pace grows by a tenth each time so much has passed.
GROWTH_US: Final = 10 * SECOND_US
GROWTH: Final = 1.1
#: X of 4^X seconds is never more.
MOST_BACKOFF: Final = 4
#: What goes wrong is tried again for so long at most, from the first attempt on.
TRY_FOR_US: Final = 600 * SECOND_US


@dataclass(frozen=True, slots=True)
class Bucket:
    """One message each `interval_us`; `capacity` of them may leave at once when none has for a while."""

    interval_us: int
    capacity: int

    @property
    def window_us(self) -> int:
        return self.interval_us * self.capacity

    def free_us(self, tat_us: int, now_us: int) -> int:
        """When the next message may leave, `now_us` or later."""
        return max(now_us, self._arrival(tat_us, now_us) + self.interval_us - self.window_us)

    def taken(self, tat_us: int, now_us: int) -> int:
        """The arrival time to store when one leaves now."""
        return self._arrival(tat_us, now_us) + self.interval_us

    def _arrival(self, tat_us: int, now_us: int) -> int:
        """Nothing stores more than two windows ahead but a clock that was wrong: nobody must wait for that."""
        return max(tat_us, now_us) if tat_us - now_us <= 2 * self.window_us else now_us


#: One message to one user in six seconds, 45 of them borrowed from later (wire/whatsapp-meta.md section 11); one less
#: here, since requests take differently long and the provider counts when they arrive.
PAIR: Final = Bucket(6 * SECOND_US, 44)


def number_bucket(per_second: int, slow_us: int = 0, since_us: int = 0, now_us: int = 0) -> Bucket:
    """Of a number that may send so many messages a second, in no second more; slower for a while after it was told to
    be: one in `slow_us` at `since_us`, growing again by a tenth every ten seconds."""
    capacity = max(1, per_second // AT_ONCE)
    full_us = -(-SECOND_US // max(1, per_second - capacity))
    if slow_us <= full_us:
        return Bucket(full_us, capacity)
    steps = max(0, now_us - since_us) // GROWTH_US
    if steps > 200:
        return Bucket(full_us, capacity)
    return Bucket(max(full_us, int(slow_us / GROWTH**steps)), 1)


def slower(bucket: Bucket) -> int:
    """The pause between two messages of a number that goes half as fast as `bucket`."""
    return min(SLOWEST_US, 2 * bucket.interval_us)


def pair_pause_us(backoff: int) -> int:
    """How long a pair waits that has been refused for its pace `backoff` times in a row before: 4^X s."""
    return int(4 ** min(backoff, MOST_BACKOFF)) * SECOND_US


#: Seconds after each refusal of a row, by what it was refused for; with no more of them it has failed.
_AFTER: Final[dict[RefusalKind, tuple[float, ...]]] = {
    "transient": (1, 2, 4, 8, 16),
    "app_rate": (1, 2, 4, 8, 16, 32, *(60,) * 9),
    "number_rate": (1,) * 600,
    "maintenance": (60,) * 10,
    "deleting": (300, 300),
    "media": (1,),
    "needs_phone": (0,),
}
#: Kinds whose pause is that of a whole number, or none: nothing would be gained by spreading it.
_EXACT: Final = frozenset({"number_rate", "maintenance", "deleting", "needs_phone"})


def again_us(kind: RefusalKind, attempts: int, tried_for_us: int, jitter: float) -> int | None:
    """How long after its refusal a row is tried again that was sent `attempts` times; None: it has failed.

    `jitter` between 0 and 1 spreads rows that failed together over the second half of the pause.
    """
    after = _AFTER.get(kind, ())
    if not 1 <= attempts <= len(after):
        return None
    pause_us = int(after[attempts - 1] * SECOND_US * (1 if kind in _EXACT else 0.5 + jitter / 2))
    return pause_us if tried_for_us + pause_us <= TRY_FOR_US else None


def unsent_us(attempts: int, tried_for_us: int, jitter: float) -> int | None:
    """The same for what never left: no harm is done by trying, so only the time counts."""
    pause_us = int(min(30, 2 ** min(attempts - 1, 5)) * SECOND_US * (0.5 + jitter / 2))
    return pause_us if tried_for_us + pause_us <= TRY_FOR_US else None
