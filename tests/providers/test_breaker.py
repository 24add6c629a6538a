"""The breaker in plain time: what opens it, for how long, who may try first, and the budget of retries."""

from __future__ import annotations

import pytest

from app.core.errors import UpstreamError
from app.providers.breaker import (
    COOL_DOWN_S,
    FAILURES_TO_OPEN,
    LONG_COOL_DOWN_S,
    LONGEST_REST_S,
    REST_S,
    RETRIES_IN_HAND,
    WINDOW_S,
    Breakers,
)

ROUTE = ("cloudflare", "kimi")
FAULT = UpstreamError("upstream_error", "", breaker="count")
OURS = UpstreamError("invalid_request_error", "", breaker="ignore")


def failing(error: UpstreamError, times: int, at: float = 100.0, step: float = 0.0) -> Breakers:
    """Breakers whose one route failed so often."""
    breakers = Breakers()
    for number in range(times):
        breakers.begin(*ROUTE)
        breakers.fail(*ROUTE, error, at + number * step)
    return breakers


def test_what_is_down_can_be_listed() -> None:
    breakers = failing(FAULT, FAILURES_TO_OPEN)
    breakers.begin("cloudflare", "gemma")
    assert set(breakers.states(100.0)) == {("cloudflare", "kimi", True), ("cloudflare", "gemma", False)}
    assert set(breakers.states(100.0 + COOL_DOWN_S)) == {("cloudflare", "kimi", False), ("cloudflare", "gemma", False)}


def test_a_route_that_was_never_used_may_be_tried() -> None:
    assert Breakers().wait_s(*ROUTE, 0.0) == 0


def test_a_thousand_refusals_of_bad_requests_leave_it_shut() -> None:
    assert failing(OURS, 1000).wait_s(*ROUTE, 100.0) == 0


def test_five_faults_of_the_provider_open_it_for_this_model_alone() -> None:
    assert failing(FAULT, FAILURES_TO_OPEN - 1).wait_s(*ROUTE, 100.0) == 0
    breakers = failing(FAULT, FAILURES_TO_OPEN)
    assert breakers.wait_s(*ROUTE, 100.0) == COOL_DOWN_S
    assert breakers.wait_s("cloudflare", "glm", 100.0) == 0
    assert breakers.wait_s("openrouter", "kimi", 100.0) == 0


def test_faults_far_apart_do_not_add_up() -> None:
    assert failing(FAULT, 50, step=WINDOW_S / 2).wait_s(*ROUTE, 100.0 + 50 * WINDOW_S / 2) == 0


def test_a_success_between_faults_starts_the_count_again() -> None:
    breakers = failing(FAULT, FAILURES_TO_OPEN - 1)
    breakers.begin(*ROUTE)
    breakers.succeed(*ROUTE)
    breakers.fail(*ROUTE, FAULT, 100.0)
    assert breakers.wait_s(*ROUTE, 100.0) == 0


def test_after_the_cool_down_one_call_at_a_time_may_try() -> None:
    breakers = failing(FAULT, FAILURES_TO_OPEN)
    later = 100.0 + COOL_DOWN_S
    assert breakers.wait_s(*ROUTE, later) == 0
    breakers.begin(*ROUTE)
    assert breakers.wait_s(*ROUTE, later) > 0
    breakers.succeed(*ROUTE)
    assert breakers.wait_s(*ROUTE, later) == 0


def test_a_trial_that_fails_opens_it_again() -> None:
    breakers = failing(FAULT, FAILURES_TO_OPEN)
    later = 100.0 + COOL_DOWN_S + WINDOW_S * 2
    breakers.begin(*ROUTE)
    breakers.fail(*ROUTE, FAULT, later)
    assert breakers.wait_s(*ROUTE, later) == COOL_DOWN_S


def test_a_trial_whose_client_left_frees_the_way_for_the_next() -> None:
    breakers = failing(FAULT, FAILURES_TO_OPEN)
    later = 100.0 + COOL_DOWN_S
    breakers.begin(*ROUTE)
    breakers.leave(*ROUTE)
    assert breakers.wait_s(*ROUTE, later) == 0


@pytest.mark.parametrize(
    ("wait_s", "rests_s"), [(None, REST_S), (7.0, 7.0), (0.0, 0.0), (10 * LONGEST_REST_S, LONGEST_REST_S)]
)
def test_a_throttled_route_rests_as_long_as_it_was_told(wait_s: float | None, rests_s: float) -> None:
    error = UpstreamError("rate_limit_exceeded", "", breaker="rest", retry_after_s=wait_s)
    breakers = failing(error, 1)
    assert breakers.wait_s(*ROUTE, 100.0) == rests_s
    assert breakers.wait_s(*ROUTE, 100.0 + rests_s) == 0
    assert breakers.wait_s("cloudflare", "glm", 100.0) == 0


def test_a_model_that_is_gone_rests_longer() -> None:
    breakers = failing(UpstreamError("provider_error", "", breaker="open_model"), 1)
    assert breakers.wait_s(*ROUTE, 100.0) == LONG_COOL_DOWN_S
    assert breakers.wait_s("cloudflare", "glm", 100.0) == 0


def test_a_refused_account_closes_the_whole_provider() -> None:
    breakers = failing(UpstreamError("provider_error", "", breaker="open_provider"), 1)
    assert breakers.wait_s(*ROUTE, 100.0) == LONG_COOL_DOWN_S
    assert breakers.wait_s("cloudflare", "glm", 100.0) == LONG_COOL_DOWN_S
    assert breakers.wait_s("openrouter", "kimi", 100.0) == 0
    assert breakers.wait_s(*ROUTE, 100.0 + LONG_COOL_DOWN_S) == 0


def test_retries_add_a_tenth_to_the_calls_of_a_failing_route_and_no_more() -> None:
    breakers, retries = Breakers(), 0
    for _ in range(1000):
        breakers.begin(*ROUTE)
        retries += breakers.may_retry(*ROUTE)
    assert retries <= 1000 / 10 + RETRIES_IN_HAND


def test_a_route_that_is_rarely_retried_saves_a_handful_and_not_more() -> None:
    breakers = Breakers()
    for _ in range(1000):
        breakers.begin(*ROUTE)
    assert sum(breakers.may_retry(*ROUTE) for _ in range(100)) == RETRIES_IN_HAND
    assert breakers.may_retry("cloudflare", "glm")
