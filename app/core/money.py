"""Amounts: integer micro-credits inside (1 credit = 1 INR = 1 000 000 ucr), decimals only at the edge."""

from __future__ import annotations

from decimal import Decimal, Inexact, localcontext
from typing import Final

UCR_PER_CREDIT: Final = 1_000_000


def credits_from_ucr(amount_ucr: int) -> float:
    """Credits for a JSON reply. Exact to 6 places below 2**33 credits (eight billion)."""
    return amount_ucr / UCR_PER_CREDIT


def ucr_from_credits(amount: str | int | Decimal) -> int:
    """Micro-credits from a decimal text such as `"12.5"`.

    Raises ValueError for anything finer than a micro-credit, not finite, or not a number: money is never rounded here.
    """
    try:
        with localcontext() as context:
            context.traps[Inexact] = True
            scaled = Decimal(str(amount)) * UCR_PER_CREDIT
    except Inexact:
        raise ValueError(f"{amount!r} is not an amount of credits with at most 6 decimal places") from None
    except ArithmeticError:
        raise ValueError(f"{amount!r} is not an amount of credits; write a number such as 12.5") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{amount!r} is not an amount of credits with at most 6 decimal places")
    return int(scaled)
