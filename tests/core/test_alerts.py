"""What is told when credits run out: each share once, a rest too small at its first refusal, nothing twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.alerts import Budget, charged, fallen, refused

MONTH = "2026-11"


def events(limit: int, before: int, charge: int, *, told: str = "", month: str = MONTH) -> list[str]:
    return [alert.event for alert in charged(Budget(limit, month, before, told), MONTH, charge)]


@pytest.mark.parametrize(
    ("before", "charge", "told"),
    [
        (0, 79, []),
        (79, 1, ["budget.alert"]),
        (80, 1, []),
        (0, 99, ["budget.alert"]),
        (99, 1, ["budget.exceeded"]),
        (0, 100, ["budget.alert", "budget.exceeded"]),
        (90, 50, ["budget.exceeded"]),
    ],
)
def test_a_charge_tells_what_it_crosses(before: int, charge: int, told: list[str]) -> None:
    assert events(100, before, charge) == told


def test_what_was_told_this_month_is_not_told_again_and_last_month_does_not_count() -> None:
    assert events(100, 100, 5, told=MONTH) == []
    assert events(100, 100, 5, told="2026-10") == ["budget.exceeded"]
    assert events(100, 99, 50, month="2026-10") == []
    assert events(100, 99, 85, month="2026-10") == ["budget.alert"]


def test_a_charge_that_is_written_after_its_month_tells_nothing() -> None:
    assert events(100, 0, 1000, month="2026-12") == []


@given(st.integers(0, 10**6), st.lists(st.integers(1, 10**5), max_size=60))
def test_in_a_month_each_share_is_told_once_at_the_charge_that_reaches_it(limit: int, charges: list[int]) -> None:
    spent, told, seen = 0, "", Counter[str]()
    for charge in charges:
        for alert in charged(Budget(limit, MONTH, spent, told), MONTH, charge):
            seen[alert.event] += 1
            told = MONTH if alert.event == "budget.exceeded" else told
        spent += charge
    reached = bool(charges) and spent >= limit
    assert seen["budget.exceeded"] == reached
    assert seen["budget.alert"] == (limit > 0 and spent * 100 >= limit * 80)


def test_a_budget_whose_rest_is_too_small_is_told_at_the_first_refusal() -> None:
    assert [alert.event for alert in refused(Budget(100, MONTH, 95, ""), MONTH, 6)] == ["budget.exceeded"]
    assert list(refused(Budget(100, MONTH, 95, MONTH), MONTH, 6)) == []
    assert list(refused(Budget(100, MONTH, 95, ""), MONTH, 5)) == []
    assert list(refused(Budget(100, "2026-10", 95, ""), MONTH, 100)) == []


def test_a_call_too_dear_for_a_budget_that_is_hardly_used_tells_nothing() -> None:
    assert list(refused(Budget(100, MONTH, 79, ""), MONTH, 60)) == []
    assert len(list(refused(Budget(100, MONTH, 80, ""), MONTH, 60))) == 1


def test_a_low_balance_is_told_when_it_is_reached_from_above_only() -> None:
    told = [[alert.event for alert in fallen(100, *pair)] for pair in ((100, 99), (101, 100), (99, 98), (500, 0))]
    assert told == [["credits.low"], [], [], ["credits.low"]]


def test_an_alert_says_whose_budget_it_is_in_credits() -> None:
    key = Budget(2_000_000, MONTH, 0, "", ("id", "server"))
    (alert,) = charged(key, MONTH, 1_700_000)
    expected = {"scope": "key", "key_id": "id", "key_name": "server", "month": MONTH}
    assert alert.data == {**expected, "budget_credits": 2.0, "used_credits": 1.7}
    (alert,) = charged(Budget(2_000_000, MONTH, 0, ""), MONTH, 1_700_000)
    assert (alert.data["scope"], alert.data["key_id"]) == ("organisation", None)
