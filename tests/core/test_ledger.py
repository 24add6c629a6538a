"""The money rules: which check refuses first, with which words and waiting time, and what an ending moves."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.allowance import Allowance, MonthlyCap, iso_time, rate_headers
from app.core.errors import Problem
from app.core.ledger import (
    Limits,
    Settlement,
    Standing,
    admit,
    month_of,
    seconds_to_next_month,
    settle,
)
from app.core.limits import Rate, RateState

NOON = 1_794_312_000_000_000  # 2026-11-10 12:00 UTC
RICH = Standing(
    key_version=1,
    key_active=True,
    key_expires_us=None,
    key_tat_us=0,
    key_in_flight=0,
    key_spent=0,
    key_held=0,
    tenant_status="active",
    tenant_version=1,
    balance=10_000_000,
    held=0,
    tenant_budget=None,
    tenant_spent=0,
    calls_ended=0,
    calls_open=0,
)
PLENTY = Limits(Rate(60), concurrency=8)
HOLD = 1_000_000

#: One fault for each check, in the order of spec.md section 3: what the standing, the limits then are, and the refusal.
FAULTS: list[tuple[str, dict[str, object], dict[str, object], str, str | None]] = [
    ("rate", {"key_tat_us": NOON + 60_000_000}, {}, "rate_limit_exceeded", "1"),
    ("concurrency", {"key_in_flight": 8}, {}, "too_many_concurrent_requests", "1"),
    ("cap", {"calls_ended": 100}, {"monthly_calls": 100}, "quota_exceeded", "1771200"),
    ("key budget", {"key_spent": 4_500_000}, {"key_budget": 5_000_000}, "budget_exceeded", None),
    ("tenant budget", {"tenant_spent": 9_500_000, "tenant_budget": 10_000_000}, {}, "budget_exceeded", None),
    ("credits", {"balance": 999_999}, {}, "insufficient_credits", None),
]
#: Faults that end by themselves when a call in flight ends.
PASSING: list[tuple[dict[str, object], dict[str, object], str]] = [
    ({"calls_ended": 99, "calls_open": 1}, {"monthly_calls": 100}, "too_many_concurrent_requests"),
    ({"key_spent": 3_000_000, "key_held": 1_500_000}, {"key_budget": 5_000_000}, "credits_held"),
    ({"tenant_spent": 8_000_000, "held": 1_500_000, "tenant_budget": 10_000_000}, {}, "credits_held"),
    ({"held": 9_500_000}, {}, "credits_held"),
]


def refusal(standing: dict[str, object], limits: dict[str, object], at_us: int = NOON) -> Problem:
    with pytest.raises(Problem) as caught:
        admit(replace(RICH, **standing), replace(PLENTY, **limits), HOLD, at_us)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(("name", "standing", "limits", "code", "wait"), FAULTS)
def test_each_check_refuses_with_its_code_and_wait(
    name: str, standing: dict[str, object], limits: dict[str, object], code: str, wait: str | None
) -> None:
    problem = refusal(standing, limits)
    assert (problem.code, problem.response_headers().get("Retry-After")) == (code, wait), name


@pytest.mark.parametrize(("standing", "limits", "code"), PASSING)
def test_what_calls_in_flight_hold_is_worth_waiting_for(
    standing: dict[str, object], limits: dict[str, object], code: str
) -> None:
    problem = refusal(standing, limits)
    assert (problem.code, problem.status) == (code, 429)
    assert problem.response_headers() == {"Retry-After": "1"}


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_of_several_faults_the_first_of_the_contract_is_told(first: int) -> None:
    standing: dict[str, object] = {}
    limits: dict[str, object] = {}
    for _, more_standing, more_limits, _, _ in FAULTS[first:]:
        standing |= more_standing
        limits |= more_limits
    assert refusal(standing, limits).code == FAULTS[first][3]


def test_a_rate_refusal_carries_the_window() -> None:
    headers = refusal({"key_tat_us": NOON + 60_000_000}, {}).response_headers()
    assert headers == {
        "Retry-After": "1",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "60s",
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": iso_time(NOON + 60_000_000),
    }


def test_no_credits_says_what_is_missing_and_is_not_worth_a_retry() -> None:
    problem = refusal({"balance": 999_999}, {})
    assert problem.response_headers() == {"X-Credits-Balance": "0.999999", "x-should-retry": "false"}
    assert "1.000000" in problem.message
    assert "0.999999" in problem.message


@pytest.mark.parametrize("budget", ["key", "organisation"])
def test_a_spent_budget_says_whose(budget: str) -> None:
    mine = {"key": ({}, {"key_budget": 0}), "organisation": ({"tenant_budget": 0}, {})}[budget]
    assert f"of this {budget} is spent" in refusal(*mine).message  # type: ignore[arg-type]


def test_a_budget_that_is_too_small_for_a_call_is_not_called_spent() -> None:
    message = refusal({"key_spent": 250_000}, {"key_budget": 500_000}).message
    assert "0.250000 credits are left of the monthly budget of this key" in message
    assert "1.000000" in message
    assert "max_tokens" in message


def test_a_call_that_fits_exactly_may_start() -> None:
    standing = replace(
        RICH,
        balance=HOLD + 500,
        held=500,
        key_in_flight=7,
        key_spent=3,
        key_held=4,
        tenant_budget=HOLD + 507,
        tenant_spent=7,
        calls_ended=98,
        calls_open=1,
    )
    limits = replace(PLENTY, monthly_calls=100, key_budget=HOLD + 7)
    assert admit(standing, limits, HOLD, NOON) == Allowance(
        RateState(True, NOON + 1_000_000, 60, 59, 0, 1_000_000),
        MonthlyCap(100, 100, NOON + int(seconds_to_next_month(NOON) * 1e6)),
    )


MONEY = st.integers(0, 10**9)


@given(MONEY, MONEY, MONEY, MONEY)
def test_a_settlement_never_takes_what_is_not_there(cost: int, hold: int, others: int, free: int) -> None:
    held, balance = hold + others, hold + others + free
    settled = settle(cost, hold, balance, held)
    assert settled.charge + settled.uncollected == cost
    assert 0 <= settled.charge <= hold + free
    assert balance - settled.charge >= held - hold
    assert settled.uncollected == 0 or settled.charge == hold + free


@pytest.mark.parametrize(
    ("cost", "hold", "balance", "held", "settled"),
    [
        (0, 100, 1000, 100, Settlement(0, 0)),
        (60, 100, 1000, 100, Settlement(60, 0)),
        (100, 100, 100, 100, Settlement(100, 0)),
        (150, 100, 1000, 100, Settlement(150, 0)),
        (150, 100, 120, 100, Settlement(120, 30)),
        (150, 100, 400, 400, Settlement(100, 50)),
        (150, 0, 0, 0, Settlement(0, 150)),
    ],
)
def test_the_settlement_table(cost: int, hold: int, balance: int, held: int, settled: Settlement) -> None:
    assert settle(cost, hold, balance, held) == settled


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("time", "month", "left_s"),
    [
        ("2026-11-30T23:59:59.999999+00:00", "2026-11", 0.000001),
        ("2026-12-01T00:00:00+00:00", "2026-12", 31 * 86400),
        ("2026-12-31T23:59:59+00:00", "2026-12", 1),
        ("2027-01-01T00:00:00+00:00", "2027-01", 31 * 86400),
        ("2027-02-01T00:00:00+00:00", "2027-02", 28 * 86400),
        ("2028-02-29T12:00:00+00:00", "2028-02", 43200),
        ("2026-12-01T04:00:00+05:30", "2026-11", 5400),
        ("2027-01-31T18:30:00-05:30", "2027-02", 28 * 86400),
    ],
)
def test_a_month_is_a_calendar_month_in_utc(time: str, month: str, left_s: float) -> None:
    assert month_of(at(time)) == month
    assert seconds_to_next_month(at(time)) == pytest.approx(left_s, abs=1e-9)


@given(st.integers(0, 4_000_000_000_000_000))
def test_the_next_month_begins_when_this_one_has_run_out(at_us: int) -> None:
    left_us = round(seconds_to_next_month(at_us) * 1_000_000)
    assert 0 < left_us <= 31 * 86_400_000_000
    assert month_of(at_us + left_us - 1) == month_of(at_us)
    assert month_of(at_us + left_us) > month_of(at_us)


def test_rate_headers_round_the_reset_up() -> None:
    headers = rate_headers(RateState(True, 0, 60, 59, 0, 1_000_001))
    assert headers["x-ratelimit-reset-requests"] == "2s"
