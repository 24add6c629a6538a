"""An organisation's credits: what is left, where it went, and how much of it a month may take."""

from __future__ import annotations

from msgspec import UNSET

from app.core.amounts import amount_or_none, read_amount
from app.core.credits import (
    Balance,
    BudgetChange,
    BudgetState,
    Pack,
    PackList,
    Transaction,
    TransactionPage,
    TransactionQuery,
    TypeSummary,
    describe,
    real_balance,
)
from app.core.identity import Clock, now_us
from app.core.ledger import month_of
from app.core.money import credits_from_ucr
from app.core.times import DAY_US, Place, iso_time, read_cursor, write_cursor
from app.storage import budgets, database, entries, ledger
from app.storage.budgets import StoredBudget
from app.storage.database import Database
from app.storage.entries import StoredEntry, Wanted
from app.usecases.models import Models

NOTHING = (0, 0)


class Credits:
    """Credits of any tenant; each method names whose."""

    def __init__(self, db: Database, models: Models, *, clock: Clock = now_us) -> None:
        self._db = db
        self._models = models
        self._clock = clock

    async def balance(self, tenant_id: str) -> Balance:
        def read(db: database.Transaction) -> tuple[int, int]:
            whole, _held = ledger.balance(db, tenant_id)
            sums = entries.sums_by_type(db, tenant_id)
            _, bonus = sums.get("signup_bonus", NOTHING)
            _, charged = sums.get("deduction", NOTHING)
            _, refunded = sums.get("refund", NOTHING)
            return whole, real_balance(whole, bonus, -charged - refunded)

        whole, real = await self._db.read(tenant_id, read)
        return Balance(credits_from_ucr(whole), credits_from_ucr(real))

    def packs(self) -> PackList:
        """What can be bought, as the operator's catalog says."""
        packs = self._models.catalog.rates.packs
        return PackList([Pack(each.id, each.name, each.credits, each.price_inr) for each in packs])

    async def transactions(self, tenant_id: str, query: TransactionQuery) -> TransactionPage:
        """Newest first, with the sums of all days asked for."""
        days = query.since_days
        first_day = 0 if days is None else self._clock() // DAY_US - days
        wanted = Wanted(query.type, first_day * DAY_US, read_cursor(query.before), query.limit + 1)
        found, sums = await self._db.read(
            tenant_id,
            lambda db: (
                entries.list_entries(db, tenant_id, wanted),
                entries.sums_by_type(db, tenant_id, first_day),
            ),
        )
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].created_us, data[-1].id)) if len(found) > query.limit else None
        summary = {kind: TypeSummary(count, credits_from_ucr(total)) for kind, (count, total) in sums.items()}
        return TransactionPage([_transaction(entry) for entry in data], cursor, summary)

    async def budget(self, tenant_id: str) -> BudgetState:
        return self._state(await self._db.read(tenant_id, lambda db: budgets.read_budget(db, tenant_id)))

    async def set_budget(self, tenant_id: str, change: BudgetChange) -> BudgetState:
        """It holds from the next call on. Raises Problem 400."""
        given: dict[str, int | bool | None] = {}
        if change.monthly_budget_credits is not UNSET:
            given["limit_ucr"] = read_amount(change.monthly_budget_credits, "monthly_budget_credits")
        if change.low_balance_credits is not UNSET:
            given["low_balance_ucr"] = read_amount(change.low_balance_credits, "low_balance_credits")
        if change.alerts_enabled is not UNSET:
            given["alerts_enabled"] = change.alerts_enabled

        def write(db: database.Transaction) -> StoredBudget:
            before = budgets.read_budget(db, tenant_id)
            after = before._replace(**given)  # type: ignore[arg-type]  # as the branches above say
            if after != before:
                budgets.write_budget(db, tenant_id, after)
            return after

        return self._state(await self._db.write(tenant_id, write))

    def _state(self, budget: StoredBudget) -> BudgetState:
        month = month_of(self._clock())
        spent, limit = budget.spent_in(month), budget.limit_ucr
        return BudgetState(
            monthly_budget_credits=amount_or_none(limit),
            period_start=month,
            period_used_credits=credits_from_ucr(spent),
            remaining_credits=None if limit is None else credits_from_ucr(max(0, limit - spent)),
            alerts_enabled=budget.alerts_enabled,
            low_balance_credits=amount_or_none(budget.low_balance_ucr),
        )


def _transaction(entry: StoredEntry) -> Transaction:
    return Transaction(
        id=entry.id,
        amount=credits_from_ucr(entry.amount),
        balance_after=credits_from_ucr(entry.balance_after),
        type=entry.type,
        description=describe(entry.type, entry.note, entry.category, entry.model),
        reference_id=entry.request_id or entry.ref,
        created_at=iso_time(entry.created_us),
    )
