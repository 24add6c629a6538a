"""Rate limiting as arithmetic: GCRA over one stored number, so that a limit is exact at any number of processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_minute` requests a minute; a key that was idle may send them all at once."""

    per_minute: int

    @property
    def interval_us(self) -> int:
        """Time one request takes from the allowance; rounded up so that rounding never lets an extra call through."""
        return -(-MINUTE_US // self.per_minute)


@dataclass(frozen=True, slots=True)
class RateState:
    """What the limiter says after looking at one request: `tat_us` is the number to store."""

    allowed: bool
    tat_us: int
    limit: int
    remaining: int
    retry_after_us: int
    reset_us: int


def take(rate: Rate, stored_tat_us: int, now_us: int) -> RateState:
    """Take one request at `now_us` from the allowance whose theoretical arrival time is `stored_tat_us`.

    A refused request changes nothing: `tat_us` comes back as it was and `retry_after_us` says when one would pass.
    """
    interval = rate.interval_us
    window = interval * rate.per_minute
    # Nothing stores more than one window ahead but a clock that was wrong; the key must not wait for that time to come.
    tat = max(stored_tat_us, now_us) if stored_tat_us - now_us <= 2 * window else now_us
    after = tat + interval
    if after - now_us > window:
        return RateState(False, stored_tat_us, rate.per_minute, 0, after - window - now_us, tat - now_us)
    remaining = (window - (after - now_us)) // interval
    return RateState(True, after, rate.per_minute, remaining, 0, after - now_us)
