"""A second, plainer bookkeeper: what the ledger's tables must say after each of its jobs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from app.core.ledger import State, month_of
from app.storage.database import Transaction


@dataclass
class Purse:
    """A monthly budget and what the last month that had charges spent of it."""

    budget: int | None = None
    month: str = ""
    total: int = 0

    def spent(self, month: str) -> int:
        return self.total if month == self.month else 0

    def spend(self, month: str, amount: int) -> None:
        self.month, self.total = month, self.spent(month) + amount

    def bears(self, month: str, amount: int) -> bool:
        return amount <= self.room(month)

    def room(self, month: str) -> float:
        return math.inf if self.budget is None else self.budget - self.spent(month)


@dataclass(eq=False)
class Key:
    """One API key."""

    id: str
    text: str
    purse: Purse = field(default_factory=Purse)


@dataclass
class Call:
    """One call and how it ended."""

    id: str
    key: Key
    hold: int
    opened_us: int
    expires_us: int
    state: State = "held"
    charge: int = 0
    uncollected: int = 0

    @property
    def open(self) -> bool:
        return self.state == "held"


@dataclass
class Tenant:
    """An organisation as the rules of pains.md section 2 see it."""

    id: str
    keys: list[Key]
    purse: Purse = field(default_factory=Purse)
    balance: int = 0
    calls: dict[str, Call] = field(default_factory=dict)
    credited: set[tuple[str, str]] = field(default_factory=set)
    completed: dict[str, int] = field(default_factory=dict)

    def held(self, key: Key | None = None) -> int:
        return sum(call.hold for call in self.in_flight(key))

    def in_flight(self, key: Key | None = None) -> list[Call]:
        return [call for call in self.calls.values() if call.open and key in (None, call.key)]

    def refusal(self, key: Key, hold: int, at_us: int, concurrency: int, cap: int) -> str | None:
        """The code that a call with this hold is refused with."""
        month = month_of(at_us)
        if len(self.in_flight(key)) >= concurrency:
            return "too_many_concurrent_requests"
        ended = self.completed.get(month, 0)
        opened = sum(month_of(call.opened_us) == month for call in self.in_flight())
        if ended + opened >= cap:
            return "quota_exceeded" if ended >= cap else "too_many_concurrent_requests"
        for purse, held in ((key.purse, self.held(key)), (self.purse, self.held())):
            if not purse.bears(month, held + hold):
                return "credits_held" if purse.bears(month, hold) else "budget_exceeded"
        if self.balance - self.held() < hold:
            return "insufficient_credits" if self.balance < hold else "credits_held"
        return None

    def growth(self, call: Call, more: int) -> int:
        """By how much a hold that wants `more` grows."""
        if not call.open:
            return 0
        month = month_of(call.opened_us)
        rooms = (
            self.balance - self.held(),
            self.purse.room(month) - self.held(),
            call.key.purse.room(month) - self.held(call.key),
        )
        return int(max(0, min(more, *rooms)))

    def end(self, call: Call, state: State, cost: int, at_us: int, *, completed: bool) -> None:
        if not call.open:
            return
        free = self.balance - self.held()
        call.state = state
        if state == "posted":
            call.charge = min(cost, call.hold + free)
            call.uncollected = cost - call.charge
        self.balance -= call.charge
        for purse in (self.purse, call.key.purse):
            purse.spend(month_of(at_us), call.charge)
        if completed:
            opened = month_of(call.opened_us)
            self.completed[opened] = self.completed.get(opened, 0) + 1

    def expected(self) -> dict[str, Any]:
        """What `stored` must return for this tenant."""
        return {
            "tenant": (self.balance, self.held()),
            "keys": {key.id: (len(self.in_flight(key)), self.held(key)) for key in self.keys},
            "calls": {call.id: (call.state, call.hold, call.charge, call.uncollected) for call in self.calls.values()},
            "entries": sorted(
                [("charge", call.id, -call.charge) for call in self.calls.values() if call.charge]
                + [(kind, ref, int(ref)) for kind, ref in self.credited]
            ),
        }


def stored(db: Transaction, tenant_id: str) -> dict[str, Any]:
    """The tenant's books as they are in the tables."""
    return {
        "tenant": db.one("SELECT balance, held FROM tenants WHERE id = ?", tenant_id),
        "keys": {
            row[0]: row[1:] for row in db.all("SELECT id, in_flight, held FROM api_keys WHERE tenant_id = ?", tenant_id)
        },
        "calls": {
            row[0]: row[1:]
            for row in db.all("SELECT id, state, hold, charge, uncollected FROM calls WHERE tenant_id = ?", tenant_id)
        },
        "entries": sorted(db.all("SELECT kind, ref, amount FROM ledger_entries WHERE tenant_id = ?", tenant_id)),
    }
