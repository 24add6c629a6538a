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

    @property
    def window_us(self) -> int:
        """Time that all of the allowance takes."""
        return self.interval_us * self.per_minute


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
    interval, window = rate.interval_us, rate.window_us
    tat = _arrival(rate, stored_tat_us, now_us)
    after = tat + interval
    if after - now_us > window:
        return RateState(False, stored_tat_us, rate.per_minute, 0, after - window - now_us, tat - now_us)
    remaining = (window - (after - now_us)) // interval
    return RateState(True, after, rate.per_minute, remaining, 0, after - now_us)


def look(rate: Rate, stored_tat_us: int, now_us: int) -> RateState:
    """What is left of the allowance; takes nothing of it."""
    ahead = _arrival(rate, stored_tat_us, now_us) - now_us
    remaining = max(0, rate.window_us - ahead) // rate.interval_us
    wait = max(0, ahead + rate.interval_us - rate.window_us)
    return RateState(remaining > 0, stored_tat_us, rate.per_minute, remaining, wait, ahead)


def _arrival(rate: Rate, stored_tat_us: int, now_us: int) -> int:
    """Nothing stores more than one window ahead but a clock that was wrong: nobody must wait for that time to come."""
    return max(stored_tat_us, now_us) if stored_tat_us - now_us <= 2 * rate.window_us else now_us
