"""Tells webhooks of budgets and balances that run out, in the transaction in which they do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.core import alerts
from app.core.alerts import BUDGET_EXCEEDED, Alert, Budget
from app.core.ledger import month_of
from app.storage import outbox
from app.storage.database import Transaction

#: What `tell_charge` needs of the tenant `t` and the key `k` as they were before the charge.
COLUMNS: Final = (
    "t.alerts_enabled, t.low_balance, t.budget, t.spent_month, t.spent, t.told_month, "
    "k.budget, k.spent_month, k.spent, k.told_month, k.id, k.name"
)


def tell_charge(
    db: Transaction, tenant_id: str, standing: Sequence[Any], charge_ucr: int, balance_ucr: int, at_us: int
) -> None:
    """Tell what this charge crosses; `standing` are `COLUMNS`, `balance_ucr` is what there was before it.

    Does nothing, not even a statement, when nothing is crossed.
    """
    is_enabled, low_ucr, *_ = standing
    if not is_enabled or not charge_ucr:
        return
    if low_ucr is not None:
        _tell(db, tenant_id, alerts.fallen(low_ucr, balance_ucr, balance_ucr - charge_ucr), at_us)
    month = month_of(at_us)
    for budget in _budgets(standing):
        _tell_budget(db, tenant_id, budget, alerts.charged(budget, month, charge_ucr), at_us)


def tell_refusal(db: Transaction, tenant_id: str, key_id: str, hold_ucr: int, at_us: int) -> None:
    """Tell which budget has refused a call that needed this hold, if nobody has told this month."""
    for budget, found in _refusing(db, tenant_id, key_id, hold_ucr, at_us):
        _tell_budget(db, tenant_id, budget, found, at_us)


def is_untold(db: Transaction, tenant_id: str, key_id: str, hold_ucr: int, at_us: int) -> bool:
    """Whether `tell_refusal` would tell anything."""
    return any(found for _, found in _refusing(db, tenant_id, key_id, hold_ucr, at_us))


def _refusing(
    db: Transaction, tenant_id: str, key_id: str, hold_ucr: int, at_us: int
) -> list[tuple[Budget, list[Alert]]]:
    standing = db.one(
        f"SELECT {COLUMNS} FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.tenant_id = ? AND k.id = ?",
        *(tenant_id, key_id),
    )
    if standing is None or not standing[0]:
        return []
    month = month_of(at_us)
    return [(budget, list(alerts.refused(budget, month, hold_ucr))) for budget in _budgets(standing)]


def _budgets(standing: Sequence[Any]) -> list[Budget]:
    _, _, limit, month, spent, told, key_limit, key_month, key_spent, key_told, key_id, key_name = standing
    found = [] if limit is None else [Budget(limit, month, spent, told)]
    if key_limit is not None:
        found.append(Budget(key_limit, key_month, key_spent, key_told, (key_id, key_name)))
    return found


def _tell_budget(db: Transaction, tenant_id: str, budget: Budget, found: Iterable[Alert], at_us: int) -> None:
    for alert in found:
        _tell(db, tenant_id, [alert], at_us)
        if alert.event != BUDGET_EXCEEDED:
            continue
        if budget.key is None:
            db.do("UPDATE tenants SET told_month = ? WHERE id = ?", month_of(at_us), tenant_id)
        else:
            sql = "UPDATE api_keys SET told_month = ? WHERE tenant_id = ? AND id = ?"
            db.do(sql, month_of(at_us), tenant_id, budget.key[0])


def _tell(db: Transaction, tenant_id: str, found: Iterable[Alert], at_us: int) -> None:
    for event, data in found:
        outbox.emit(db, tenant_id, event, data, at_us)
