"""The rate limiter as arithmetic: all at once after a rest, and never one more than the window allows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.core.limits import MINUTE_US, Rate, look, take

START = 1_800_000_000_000_000
RATES = st.integers(1, 12_000).map(Rate)
GAPS = st.lists(st.integers(0, 3 * MINUTE_US) | st.integers(0, 2000), max_size=80)


def passed(rate: Rate, times: list[int]) -> list[int]:
    """The times at which a request passed, for a key that rested."""
    return passed_from(rate, 0, times)


def passed_from(rate: Rate, tat: int, times: list[int]) -> list[int]:
    good = []
    for now in times:
        state = take(rate, tat, now)
        tat = state.tat_us
        if state.allowed:
            good.append(now)
    return good


@given(st.integers(1, 300).map(Rate), st.integers(1, 5))
def test_a_rested_key_sends_its_whole_minute_at_once_and_not_one_more(rate: Rate, extra: int) -> None:
    assert len(passed(rate, [START] * (rate.per_minute + extra))) == rate.per_minute


@given(RATES, GAPS)
def test_no_window_lets_more_pass_than_the_rate_allows(rate: Rate, gaps: list[int]) -> None:
    times = [START]
    for gap in gaps:
        times.append(times[-1] + gap)
    good = passed(rate, times)
    for first, begin in enumerate(good):
        for last in range(first, len(good)):
            elapsed = good[last] - begin
            assert last - first + 1 <= rate.per_minute + elapsed // rate.interval_us


@given(st.integers(1, 40).map(Rate), st.lists(st.integers(0, MINUTE_US // 10), max_size=120))
def test_a_refused_request_changes_nothing_and_passes_exactly_when_it_was_told(rate: Rate, gaps: list[int]) -> None:
    tat, now = 0, START
    for gap in gaps:
        now += gap
        state = take(rate, tat, now)
        if not state.allowed:
            assert state.tat_us == tat
            assert state.retry_after_us > 0
            assert not take(rate, tat, now + state.retry_after_us - 1).allowed
            assert take(rate, tat, now + state.retry_after_us).allowed
        tat = state.tat_us


@given(st.integers(1, 500).map(Rate), st.integers(0, 500))
def test_remaining_is_what_would_still_pass_now(rate: Rate, sent: int) -> None:
    tat = 0
    for _ in range(min(sent, rate.per_minute - 1)):
        tat = take(rate, tat, START).tat_us
    state = take(rate, tat, START)
    assert state.limit == rate.per_minute
    assert len(passed_from(rate, state.tat_us, [START] * rate.per_minute)) == state.remaining


def test_after_the_reset_the_key_is_as_good_as_rested() -> None:
    rate = Rate(60)
    state = take(rate, 0, START)
    for _ in range(24):
        state = take(rate, state.tat_us, START)
    later = START + state.reset_us
    assert take(rate, state.tat_us, later).remaining == rate.per_minute - 1
    assert take(rate, state.tat_us, later - 1).remaining == rate.per_minute - 2


@given(st.integers(1, 12_000), st.integers(1, 12_000))
def test_a_higher_rate_never_has_a_longer_interval(slow: int, fast: int) -> None:
    intervals = [Rate(per_minute).interval_us for per_minute in sorted((slow, fast))]
    assert all(first >= second for first, second in pairwise(intervals))
    assert all(Rate(n).interval_us * n >= MINUTE_US for n in (slow, fast))


def test_a_clock_that_went_back_a_little_only_makes_the_key_wait() -> None:
    tat = take(Rate(1), 0, START).tat_us
    state = take(Rate(1), tat, START - 1_000_000)
    assert (state.allowed, state.retry_after_us) == (False, MINUTE_US + 1_000_000)


@given(RATES, st.integers(3 * MINUTE_US, 10**15))
def test_a_clock_that_was_far_ahead_does_not_lock_the_key_out(rate: Rate, ahead_us: int) -> None:
    stored = take(rate, 0, START + ahead_us).tat_us
    assert len(passed_from(rate, stored, [START] * 2)) == min(rate.per_minute, 2)


@given(RATES, GAPS)
def test_looking_tells_what_taking_would_and_takes_nothing(rate: Rate, gaps: list[int]) -> None:
    tat, now = 0, START
    for gap in gaps:
        now += gap
        seen, taken = look(rate, tat, now), take(rate, tat, now)
        assert (seen.allowed, seen.tat_us, seen.retry_after_us) == (taken.allowed, tat, taken.retry_after_us)
        assert seen.remaining == taken.remaining + taken.allowed
        tat = taken.tat_us


def test_a_time_that_only_a_wrong_clock_can_have_stored_counts_for_nothing() -> None:
    rate = Rate(60)
    assert look(rate, START + 10 * MINUTE_US, START).remaining == 60
