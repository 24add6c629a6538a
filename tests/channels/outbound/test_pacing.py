"""How fast messages leave: never more in any stretch of time than the provider takes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.outbound.pacing import (
    GROWTH_US,
    PAIR,
    SECOND_US,
    SLOWEST_US,
    TRY_FOR_US,
    Bucket,
    again_us,
    number_bucket,
    pair_pause_us,
    slower,
    unsent_us,
)


def leaving(bucket: Bucket, count: int, waits: list[int] | None = None) -> list[int]:
    """When messages leave that go as soon as they may, after waits of their own."""
    now, tat, times = 0, 0, []
    for number in range(count):
        now = bucket.free_us(tat, now + (waits[number % len(waits)] if waits else 0))
        tat = bucket.taken(tat, now)
        times.append(now)
    return times


@pytest.mark.parametrize("per_second", [20, 80, 1000])
def test_no_second_has_more_than_the_number_may_send(per_second: int) -> None:
    times = leaving(number_bucket(per_second), 4 * per_second)
    assert max(sum(start <= time < start + SECOND_US for time in times) for start in times) <= per_second
    assert len([time for time in times if time < 3 * SECOND_US]) >= 2.5 * per_second, "nor much less"


@given(st.integers(1, 1000), st.lists(st.integers(0, 3 * SECOND_US), min_size=1, max_size=20))
def test_whatever_pauses_there_are_no_second_has_more(per_second: int, waits: list[int]) -> None:
    times = leaving(number_bucket(per_second), 60, waits)
    for place, start in enumerate(times):
        within = sum(time < start + SECOND_US for time in times[place:])
        assert within <= max(per_second, 2)


def test_one_user_gets_44_at_once_and_then_one_in_six_seconds() -> None:
    times = leaving(PAIR, 47)
    assert times[:44] == [0] * 44
    assert [later - sooner for sooner, later in pairwise(times[43:])] == [6 * SECOND_US] * 3


def test_a_clock_that_was_wrong_holds_nobody_up() -> None:
    assert PAIR.free_us(10**18, 5) == 5
    assert PAIR.taken(10**18, 5) == 5 + PAIR.interval_us


def test_a_number_that_was_too_fast_goes_half_as_fast_and_gets_its_pace_back() -> None:
    full = number_bucket(80)
    slow_us = slower(full)
    paces = [number_bucket(80, slow_us, 0, steps * GROWTH_US).interval_us for steps in range(9)]
    assert paces[0] == 2 * full.interval_us
    assert paces == sorted(paces, reverse=True)
    assert paces[1] == int(slow_us / 1.1)
    assert paces[-1] == full.interval_us
    assert number_bucket(80, slow_us, 0, 10**15) == full


def test_however_often_it_is_refused_it_is_not_slowed_for_ever() -> None:
    bucket = number_bucket(80)
    for _ in range(50):
        bucket = number_bucket(80, slower(bucket))
    assert bucket.interval_us == SLOWEST_US


def test_a_pair_waits_four_to_the_power_of_its_refusals() -> None:
    assert [pair_pause_us(times) // SECOND_US for times in range(7)] == [1, 4, 16, 64, 256, 256, 256]


def test_what_may_pass_is_tried_five_times_more_and_then_fails() -> None:
    pauses = [again_us("transient", attempt, 0, 1.0) for attempt in range(1, 7)]
    assert pauses == [SECOND_US, 2 * SECOND_US, 4 * SECOND_US, 8 * SECOND_US, 16 * SECOND_US, None]
    assert again_us("transient", 1, 0, 0.0) == SECOND_US // 2, "spread over the second half of the pause"
    assert again_us("transient", 1, TRY_FOR_US, 1.0) is None, "not for ever"


@pytest.mark.parametrize("kind", ["recipient", "opted_out", "marketing_cap", "template", "template_off", "other"])
def test_a_definite_no_is_not_tried_again(kind: object) -> None:
    assert again_us(kind, 1, 0, 1.0) is None  # type: ignore[arg-type]


@given(st.sampled_from(["transient", "app_rate", "number_rate", "maintenance", "deleting", "media"]), st.floats(0, 1))
def test_nothing_is_tried_for_longer_than_ten_minutes(kind: object, jitter: float) -> None:
    tried_for, attempt = 0, 1
    while (pause := again_us(kind, attempt, tried_for, jitter)) is not None:  # type: ignore[arg-type]
        tried_for, attempt = tried_for + pause, attempt + 1
    assert tried_for <= TRY_FOR_US


def test_what_never_left_is_tried_for_ten_minutes() -> None:
    tried_for, attempt = 0, 1
    while (pause := unsent_us(attempt, tried_for, 1.0)) is not None:
        tried_for, attempt = tried_for + pause, attempt + 1
    assert TRY_FOR_US - 31 * SECOND_US < tried_for <= TRY_FOR_US
    assert attempt > 20
