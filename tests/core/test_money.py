"""Amounts: exact both ways, and never rounded on the way in."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.money import UCR_PER_CREDIT, credits_from_ucr, ucr_from_credits

SAFE = 2**33 * UCR_PER_CREDIT - 1
FRACTIONS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-SAFE, max_value=SAFE, places=40)


@given(st.integers(-SAFE, SAFE))
def test_micro_credits_survive_the_way_out_and_in(amount_ucr: int) -> None:
    assert ucr_from_credits(f"{credits_from_ucr(amount_ucr):.6f}") == amount_ucr


@given(FRACTIONS)
def test_an_amount_is_taken_exactly_or_not_at_all(amount: Decimal) -> None:
    digits = amount.as_tuple()
    exact = int("".join(map(str, digits.digits))) * 10**6
    places = -int(digits.exponent)
    if exact % 10**places:
        with pytest.raises(ValueError, match="6 decimal places"):
            ucr_from_credits(amount)
    else:
        assert ucr_from_credits(amount) == (-1 if digits.sign else 1) * exact // 10**places


@pytest.mark.parametrize(("text", "ucr"), [("12.5", 12_500_000), ("0.000001", 1), ("-3", -3_000_000), ("1e3", 10**9)])
def test_a_decimal_text_is_read(text: str, ucr: int) -> None:
    assert ucr_from_credits(text) == ucr


@pytest.mark.parametrize(
    "amount",
    ["", "ten", "NaN", "sNaN", "Infinity", "-Infinity", "0.0000001", "1." + "0" * 30 + "1", "9" * 30 + ".9999999"],
)
def test_what_is_no_exact_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of credits"):
        ucr_from_credits(amount)


def test_a_credit_is_a_million_micro_credits() -> None:
    assert (ucr_from_credits(1), credits_from_ucr(UCR_PER_CREDIT)) == (1_000_000, 1.0)
