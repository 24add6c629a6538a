"""Amounts of credits in JSON bodies: numbers with at most six places, read without rounding."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from app.core.errors import Problem
from app.core.money import credits_from_ucr, ucr_from_credits

#: With six places still exact as a JSON number.
LARGEST: Final = 999_999_999
Amount = Annotated[float, Meta(ge=0, le=LARGEST, description="credits, with at most 6 decimal places")]


def read_amount(amount: float | None, param: str) -> int | None:
    """Micro-credits, None for null. Raises Problem 400 for anything finer than a micro-credit."""
    if amount is None:
        return None
    try:
        return ucr_from_credits(str(amount))
    except ValueError:
        raise Problem("invalid_value", f"{param} must have at most 6 decimal places.", param) from None


def amount_or_none(amount_ucr: int | None) -> float | None:
    """Credits for a JSON reply, null for None."""
    return None if amount_ucr is None else credits_from_ucr(amount_ucr)
