"""Amounts in JSON: read exactly, written back as they were sent."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.amounts import LARGEST, Amount, amount_or_none, read_amount
from app.core.errors import Problem


@given(st.integers(0, LARGEST * 1_000_000))
def test_an_amount_comes_back_as_it_was_sent(amount_ucr: int) -> None:
    sent = f"{amount_ucr // 1_000_000}.{amount_ucr % 1_000_000:06}".encode()
    amount = msgspec.convert(msgspec.json.decode(sent), Amount)
    assert read_amount(amount, "budget") == amount_ucr
    shown = amount_or_none(amount_ucr)
    assert shown is not None
    assert read_amount(float(msgspec.json.encode(shown)), "budget") == amount_ucr


@pytest.mark.parametrize("amount", [0.0000001, 1.0000005, 1e-9])
def test_less_than_a_micro_credit_is_refused_and_never_rounded(amount: float) -> None:
    with pytest.raises(Problem, match="budget_limit must have at most 6 decimal places") as caught:
        read_amount(amount, "budget_limit")
    assert caught.value.param == "budget_limit"


def test_null_is_no_amount() -> None:
    assert read_amount(None, "budget") is None
    assert amount_or_none(None) is None
