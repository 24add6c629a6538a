"""An organisation's monthly budget, what is spent of it, and when its webhooks are told."""

from __future__ import annotations

from typing import NamedTuple

from app.core.errors import Problem
from app.storage.database import Transaction


class StoredBudget(NamedTuple):
    """Amounts in ucr, None without a limit; `spent_ucr` is of `spent_month`."""

    limit_ucr: int | None
    alerts_enabled: bool
    low_balance_ucr: int | None
    spent_month: str
    spent_ucr: int

    def spent_in(self, month: str) -> int:
        return self.spent_ucr if self.spent_month == month else 0


def read_budget(db: Transaction, tenant_id: str) -> StoredBudget:
    """Raises Problem 404 for a tenant that is gone."""
    row = db.one(
        "SELECT budget, alerts_enabled, low_balance, spent_month, spent FROM tenants WHERE id = ?",
        tenant_id,
    )
    if row is None:
        raise Problem("not_found", "There is no such organisation.")
    budget = StoredBudget(*row)
    return budget._replace(alerts_enabled=bool(budget.alerts_enabled))


def write_budget(db: Transaction, tenant_id: str, budget: StoredBudget) -> None:
    """Write what members set. The next admission sees it; webhooks are told anew."""
    db.do(
        "UPDATE tenants SET budget = ?, alerts_enabled = ?, low_balance = ?, told_month = '' WHERE id = ?",
        *(budget.limit_ucr, int(budget.alerts_enabled), budget.low_balance_ucr, tenant_id),
    )
