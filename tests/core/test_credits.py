"""Types and words of transactions, and the balance without the bonus."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.credits import EntryType, describe, entry_type, real_balance

AMOUNTS = st.integers(0, 10**15)


@pytest.mark.parametrize(
    ("kind", "ref", "expected"),
    [
        ("charge", "chatcmpl-1", "deduction"),
        ("charge", "signup_bonus", "deduction"),
        ("purchase", "pay_1", "purchase"),
        ("refund", "plan:x", "refund"),
        ("grant", "signup_bonus", "signup_bonus"),
        ("grant", "plan:2026-11", "plan_grant"),
        ("grant", "coupon:DIWALI", "coupon"),
        ("grant", "pilot", "admin"),
        ("adjust", "coupon:DIWALI", "admin"),
    ],
)
def test_a_line_of_the_ledger_is_called_by_its_kind_and_ref(kind: str, ref: str, expected: EntryType) -> None:
    assert entry_type(kind, ref) == expected


def test_a_line_is_described_by_its_model_its_note_or_its_type() -> None:
    assert describe("deduction", "", "llm", "kimi-k2.6") == "LLM call: kimi-k2.6"
    assert describe("deduction", "", "search", "exa") == "Search: exa"
    assert describe("admin", "Pilot", None, None) == "Pilot"
    assert describe("signup_bonus", "", None, None) == "Signup bonus"


@pytest.mark.parametrize(
    ("balance", "bonus", "spent", "real"),
    [
        (1000, 1000, 0, 0),
        (900, 1000, 100, 0),
        (1500, 1000, 0, 500),
        (400, 1000, 1100, 400),
        (300, 0, 50, 300),
        (200, 1000, 0, 0),
        (1000, 1000, -5, 0),
    ],
)
def test_the_bonus_is_spent_before_everything_else(balance: int, bonus: int, spent: int, real: int) -> None:
    assert real_balance(balance, bonus, spent) == real


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_the_real_balance_is_never_negative_nor_more_than_there_is(balance: int, bonus: int, spent: int) -> None:
    assert 0 <= real_balance(balance, bonus, spent) <= balance
