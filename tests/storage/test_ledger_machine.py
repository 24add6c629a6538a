"""The ledger against a second bookkeeper: any jobs in any order, and the books agree after each."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from app.core.errors import Problem
from app.core.identity import Principal, key_digest
from app.core.ledger import Limits, Outcome
from app.core.limits import Rate
from app.storage import keys, ledger, tenants
from app.storage.database import EVERY_TENANT, Job
from app.storage.keys import KeySettings
from app.storage.ledger import Closing, Opening
from tests.books import faults
from tests.databases import Databases
from tests.storage.machine import Call, Key, Tenant, stored
from tests.storage.writers import OnPostgres, OnSqlite, Writer

SECRET = b"a secret for tests"
NOVEMBER = 1_794_312_000_000_000
DAY_US = 86_400_000_000
CONCURRENCY, CAP = 3, 6
#: Rarely in the way: the limiter has tests of its own.
RATE = Rate(1_000_000)
AMOUNTS = st.integers(0, 300) | st.integers(0, 5000)
BUDGETS = st.none() | st.integers(0, 3000)


class Books(RuleBasedStateMachine):
    """Two tenants, three keys, and a clock that only goes forward, over months."""

    calls: Bundle[tuple[Tenant, Call]] = Bundle("calls")

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer
        self.db = writer.view
        self.now = NOVEMBER
        self.made = 0
        self.tenants = [self.make_tenant("Acme", 2), self.make_tenant("Bolt", 1)]
        self.credit(0, "grant", 3000)

    def teardown(self) -> None:
        self.writer.close()

    def run(self, job: Job[Any], scope: str = EVERY_TENANT) -> Any:
        return self.writer.run(scope, job)

    def make_tenant(self, name: str, key_count: int) -> Tenant:
        tenant_id, _ = self.run(lambda db: tenants.upsert_tenant(db, name, "pro", None, self.now))
        made = [KeySettings(f"key {number}") for number in range(key_count)]
        create = partial(keys.create_key, tenant_id=tenant_id, secret=SECRET, at_us=self.now)
        return Tenant(tenant_id, [Key(*self.run(partial(create, settings=each))) for each in made])

    def principal(self, key: Key) -> Principal:
        found: Principal = self.run(lambda db: keys.find_principal(db, key_digest(SECRET, key.text), self.now))
        return found

    @rule(which=st.integers(0, 1), kind=st.sampled_from(["grant", "purchase"]), amount=st.integers(1, 3000))
    def credit(self, which: int, kind: str, amount: int) -> None:
        tenant = self.tenants[which]
        ref = str(amount)
        fresh = self.run(lambda db: ledger.credit(db, tenant.id, kind, amount, ref, self.now), tenant.id)
        assert fresh == ((kind, ref) not in tenant.credited)
        if fresh:
            tenant.credited.add((kind, ref))
            tenant.balance += amount

    @rule(which=st.integers(0, 1), budget=BUDGETS, key_budget=BUDGETS)
    def set_budgets(self, which: int, budget: int | None, key_budget: int | None) -> None:
        tenant = self.tenants[which]
        key, name = tenant.keys[0], ("Acme", "Bolt")[which]
        self.run(lambda db: tenants.upsert_tenant(db, name, "pro", budget, self.now))
        self.run(
            lambda db: keys.update_key(db, tenant.id, key.id, KeySettings("key 0", budget_ucr=key_budget)), tenant.id
        )
        tenant.purse.budget, key.purse.budget = budget, key_budget

    @rule(target=calls, which=st.integers(0, 2), hold=AMOUNTS, life_us=st.integers(1, 40 * DAY_US))
    def admit(self, which: int, hold: int, life_us: int) -> Any:
        tenant = self.tenants[which // 2]
        key = tenant.keys[which % 2]
        self.made += 1
        call = Call(f"call {self.made}", key, hold, self.now, self.now + life_us)
        opening = Opening(call.id, "req", "/v1/x", "llm", "m", False, hold, self.now, call.expires_us)
        principal = self.principal(key)
        limits = Limits(RATE, CONCURRENCY, CAP, key.purse.budget)
        refused = tenant.refusal(key, hold, self.now, CONCURRENCY, CAP)
        if refused is None:
            self.run(lambda db: ledger.admit(db, tenant.id, principal, limits, opening), tenant.id)
            tenant.calls[call.id] = call
            return tenant, call
        with pytest.raises(Problem) as caught:
            self.run(lambda db: ledger.admit(db, tenant.id, principal, limits, opening), tenant.id)
        assert caught.value.code == refused
        return multiple()

    @rule(each=calls, more=AMOUNTS, life_us=st.integers(1, DAY_US))
    def extend(self, each: tuple[Tenant, Call], more: int, life_us: int) -> None:
        tenant, call = each
        expires = self.now + life_us
        grown = self.run(lambda db: ledger.extend(db, tenant.id, call.id, more, expires), tenant.id)
        assert grown == tenant.growth(call, more)
        if grown:
            call.hold += grown
            call.expires_us = expires

    @rule(each=calls, cost=AMOUNTS, cancelled=st.booleans())
    def post(self, each: tuple[Tenant, Call], cost: int, cancelled: bool) -> None:
        outcome: Outcome = "cancelled" if cancelled else "completed"
        self.end(each, Closing("posted", outcome, cost, "provider_usage", "B5", "{}", self.now))

    @rule(each=calls, cost=AMOUNTS)
    def void(self, each: tuple[Tenant, Call], cost: int) -> None:
        self.end(each, Closing("voided", "failed", cost, "none", "B6", "{}", self.now))

    @rule(each=consumes(calls), times=st.integers(2, 3))
    def post_again_and_again(self, each: tuple[Tenant, Call], times: int) -> None:
        for cost in range(10, 10 * times + 1, 10):
            self.post(each, cost, cancelled=False)

    @rule()
    def sweep(self) -> None:
        due = {
            (tenant.id, call.id): (tenant, call)
            for tenant in self.tenants
            for call in tenant.in_flight()
            if call.expires_us < self.now
        }
        assert set(self.run(lambda db: ledger.expired(db, self.now, 1000))) == set(due)
        for each in due.values():
            self.end(each, Closing("expired", "interrupted", 0, "none", "B13", "", self.now))

    @rule(each=calls)
    def reach_for_a_call_of_another_tenant(self, each: tuple[Tenant, Call]) -> None:
        tenant, call = each
        other = self.tenants[1 - self.tenants.index(tenant)]
        closing = Closing("posted", "completed", 1, "provider_usage", "B5", "{}", self.now)
        assert self.run(lambda db: ledger.extend(db, other.id, call.id, 1, self.now), other.id) == 0
        with pytest.raises(LookupError):
            self.run(lambda db: ledger.end(db, other.id, call.id, closing), other.id)

    @rule(us=st.integers(0, 1000) | st.integers(0, 20 * DAY_US))
    def wait(self, us: int) -> None:
        self.now += us

    def end(self, each: tuple[Tenant, Call], closing: Closing) -> None:
        tenant, call = each
        ended = self.run(lambda db: ledger.end(db, tenant.id, call.id, closing), tenant.id)
        tenant.end(call, closing.state, closing.cost, self.now, completed=closing.outcome == "completed")
        assert (ended.state, ended.charge, ended.uncollected) == (call.state, call.charge, call.uncollected)

    @invariant()
    def the_books_agree(self) -> None:
        assert faults(self.db) == {}
        for tenant in self.tenants:
            assert stored(self.db, tenant.id) == tenant.expected()
            assert tenant.balance >= tenant.held() >= 0


class BooksOnSqlite(Books):
    def __init__(self) -> None:
        super().__init__(OnSqlite())


def test_the_books_agree_on_sqlite() -> None:
    run_state_machine_as_test(BooksOnSqlite, settings=settings(max_examples=200, stateful_step_count=60))


def test_the_books_agree_on_postgresql(databases: Databases) -> None:
    with databases.open_fresh() as url:

        class BooksOnPostgres(Books):
            def __init__(self) -> None:
                super().__init__(OnPostgres(url))

        run_state_machine_as_test(BooksOnPostgres, settings=settings(max_examples=40, stateful_step_count=40))
