"""When a charge, or a refused call, is worth telling: budgets that run out, a balance that runs low. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from app.core.money import credits_from_ucr

#: Part of a monthly budget whose passing is told.
ALERT_PERCENT: Final = 80
BUDGET_ALERT: Final = "budget.alert"
BUDGET_EXCEEDED: Final = "budget.exceeded"
CREDITS_LOW: Final = "credits.low"
Event = Literal["budget.alert", "budget.exceeded", "credits.low"]


class Alert(NamedTuple):
    """An event of the outbound webhooks (spec.md section 16) and its data."""

    event: Event
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Budget:
    """A monthly budget and how it stood before. `told_month` is the last month in which it was told as exceeded.

    `key` is (id, name) of the key whose budget it is; None for the organisation's.
    """

    limit_ucr: int
    spent_month: str
    spent_ucr: int
    told_month: str
    key: tuple[str, str] | None = field(default=None)

    def spent_in(self, month: str) -> int:
        return self.spent_ucr if self.spent_month == month else 0


def charged(budget: Budget, month: str, charge_ucr: int) -> Iterator[Alert]:
    """What a charge in `month` makes worth telling: each share once a month, and again after the budget was changed.

    A charge that is written after the month has turned counts for none, as in the budget itself.
    """
    if budget.spent_month > month:
        return
    before = budget.spent_in(month)
    after = before + charge_ucr
    if before * 100 < budget.limit_ucr * ALERT_PERCENT <= after * 100:
        yield Alert(BUDGET_ALERT, _data(budget, month, after))
    if after >= budget.limit_ucr and budget.told_month != month:
        yield Alert(BUDGET_EXCEEDED, _data(budget, month, after))


def refused(budget: Budget, month: str, hold_ucr: int) -> Iterator[Alert]:
    """What a call that was refused for want of budget makes worth telling: most budgets end with a rest too small.

    A call that is too dear for a budget that has hardly been used tells nothing.
    """
    spent = budget.spent_in(month)
    used = spent * 100 >= budget.limit_ucr * ALERT_PERCENT
    if used and spent + hold_ucr > budget.limit_ucr and budget.told_month != month:
        yield Alert(BUDGET_EXCEEDED, _data(budget, month, spent))


def fallen(low_ucr: int, before_ucr: int, after_ucr: int) -> Iterator[Alert]:
    """Told when the balance falls below the threshold, and again only after it has been above it."""
    if before_ucr >= low_ucr > after_ucr:
        threshold, balance = credits_from_ucr(low_ucr), credits_from_ucr(after_ucr)
        yield Alert(CREDITS_LOW, {"balance_credits": balance, "threshold_credits": threshold})


def _data(budget: Budget, month: str, spent_ucr: int) -> dict[str, Any]:
    key_id, key_name = budget.key or (None, None)
    return {
        "scope": "organisation" if budget.key is None else "key",
        "key_id": key_id,
        "key_name": key_name,
        "month": month,
        "budget_credits": credits_from_ucr(budget.limit_ucr),
        "used_credits": credits_from_ucr(spent_ucr),
    }
