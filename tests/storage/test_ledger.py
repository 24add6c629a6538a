"""The ledger's jobs one by one: what each moves, what each refuses, and that a broken book is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.errors import Problem
from app.storage import keys, ledger, tenants
from app.storage.database import Transaction
from app.storage.keys import KeySettings
from app.storage.ledger import Closing, Ending, StaleKey
from tests.books import faults, only_call, open_holds
from tests.databases import BROKEN_RULE
from tests.storage.making import DAY_0, DAY_US, make_key, make_principal, make_tenant, open_call, post, read_key

TABLES = ("tenants", "api_keys", "month_calls", "calls", "ledger_entries")
VOID = Closing("voided", "failed", 0, "none", "B6", "{}", DAY_0)


def test_a_call_that_is_posted_moves_its_charge_and_frees_its_hold(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who, hold=100)
    assert ledger.balance(db, who.tenant_id) == (1000, 100)
    assert post(db, who, cost=60) == Ending("posted", 60, 0, "provider_usage")
    assert ledger.balance(db, who.tenant_id) == (940, 0)
    entries = db.all("SELECT kind, amount, ref, balance_after FROM ledger_entries ORDER BY created_at, id DESC")
    assert sorted(entries) == [("charge", -60, "call", 940), ("grant", 1000, "start", 1000)]


def test_a_call_that_costs_nothing_leaves_no_ledger_entry(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who)
    assert post(db, who, cost=0).charge == 0
    assert db.one("SELECT COUNT(*) FROM ledger_entries WHERE kind = 'charge'") == (0,)


def test_ending_twice_returns_the_first_ending(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who)
    first = post(db, who, cost=60)
    assert post(db, who, cost=99) == first
    assert ledger.end(db, who.tenant_id, "call", VOID) == first
    assert only_call(db, "charge", "rule", "outcome") == (60, "B5", "completed")


def test_a_voided_call_cannot_be_charged_later(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who)
    ledger.end(db, who.tenant_id, "call", VOID)
    assert post(db, who, cost=60) == Ending("voided", 0, 0, "none")
    assert ledger.balance(db, who.tenant_id) == (1000, 0)


def test_what_nobody_has_credits_for_is_recorded_and_not_owed(db: Transaction) -> None:
    who = make_principal(db, credit=150)
    open_call(db, who, "one", hold=100)
    open_call(db, who, "two", hold=30)
    assert post(db, who, "one", cost=500) == Ending("posted", 120, 380, "provider_usage")
    assert ledger.balance(db, who.tenant_id) == (30, 30)


def test_an_unknown_call_cannot_be_ended(db: Transaction) -> None:
    with pytest.raises(LookupError, match="nobody"):
        ledger.end(db, make_tenant(db), "nobody", VOID)


def test_a_hold_grows_up_to_the_free_balance_and_not_beyond(db: Transaction) -> None:
    who = make_principal(db, credit=1000)
    open_call(db, who, hold=100)
    later = DAY_0 + 5 * DAY_US
    assert ledger.extend(db, who.tenant_id, "call", 400, later) == 400
    assert ledger.extend(db, who.tenant_id, "call", 501, later) == 500
    assert only_call(db, "hold", "expires_at") == (1000, later)
    assert ledger.extend(db, who.tenant_id, "call", 1, later + 1) == 0
    assert only_call(db, "hold", "expires_at") == (1000, later)
    assert ledger.balance(db, who.tenant_id) == (1000, 1000)


def test_a_hold_does_not_grow_past_a_budget(db: Transaction) -> None:
    tenant = make_tenant(db)
    tenants.upsert_tenant(db, "Acme", "pro", 300, DAY_0)
    narrow, wide = (
        read_key(db, make_key(db, tenant, name, budget_ucr=budget)) for name, budget in (("a", 150), ("b", 900))
    )
    open_call(db, narrow, "narrow", hold=100)
    open_call(db, wide, "wide", hold=100)
    assert ledger.extend(db, tenant, "narrow", 51, DAY_0) == 50
    assert ledger.extend(db, tenant, "narrow", 1, DAY_0) == 0
    assert ledger.extend(db, tenant, "wide", 51, DAY_0) == 50
    assert ledger.extend(db, tenant, "wide", 1, DAY_0) == 0


def test_the_hold_of_an_ended_call_does_not_grow(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who)
    post(db, who)
    assert ledger.extend(db, who.tenant_id, "call", 1, DAY_0) == 0
    assert ledger.balance(db, who.tenant_id) == (940, 0)


@pytest.mark.parametrize("change", ["revoked", "narrowed", "plan", "gone"])
def test_a_key_that_changed_since_it_was_read_opens_nothing(db: Transaction, change: str) -> None:
    who = make_principal(db)
    match change:
        case "revoked":
            keys.revoke_key(db, who.tenant_id, who.key_id)
        case "narrowed":
            keys.update_key(db, who.tenant_id, who.key_id, KeySettings("main", allowed_models="kimi-k2.5"))
        case "plan":
            tenants.upsert_tenant(db, "Acme", "free", None, DAY_0)
        case _:
            db.run("DELETE FROM api_keys WHERE id = ?", who.key_id)
    with pytest.raises(StaleKey):
        open_call(db, who)
    assert open_holds(db) == 0


def test_a_key_cannot_open_a_call_for_another_tenant(db: Transaction) -> None:
    mine, theirs = make_principal(db, "Acme"), make_tenant(db, "Bolt")
    with pytest.raises(StaleKey):
        open_call(db, replace(mine, tenant_id=theirs))


def test_a_refused_call_writes_nothing(db: Transaction) -> None:
    who = make_principal(db, credit=99)
    queries = [f"SELECT * FROM {table}" for table in TABLES]  # noqa: S608
    before = [db.all(query) for query in queries]
    with pytest.raises(Problem, match="insufficient_credits"):
        open_call(db, who, hold=100)
    assert [db.all(query) for query in queries] == before


def test_spending_counts_in_the_month_in_which_a_call_ends(db: Transaction) -> None:
    who = make_principal(db)
    december = DAY_0 + 25 * DAY_US
    for name in ("one", "two", "three"):
        open_call(db, who, name)
    post(db, who, "one", cost=10)
    post(db, who, "two", cost=20)
    post(db, who, "three", cost=5, at_us=december)
    assert db.one("SELECT spent_month, spent FROM tenants") == ("2026-12", 5)
    assert db.one("SELECT spent_month, spent FROM api_keys") == ("2026-12", 5)


def test_an_ending_stamped_before_the_turn_of_the_month_does_not_forget_the_new_month(db: Transaction) -> None:
    who = make_principal(db)
    december = DAY_0 + 25 * DAY_US
    for name in ("early", "late", "next"):
        open_call(db, who, name)
    post(db, who, "early", cost=10, at_us=december)
    post(db, who, "late", cost=20, at_us=DAY_0)
    post(db, who, "next", cost=5, at_us=december)
    assert db.one("SELECT spent_month, spent FROM tenants") == ("2026-12", 15)
    assert db.one("SELECT spent_month, spent FROM api_keys") == ("2026-12", 15)


def test_the_cap_counts_completed_calls_of_the_month_they_began_in(db: Transaction) -> None:
    who = make_principal(db)
    for name in ("one", "two", "three"):
        open_call(db, who, name)
    post(db, who, "one", at_us=DAY_0 + 25 * DAY_US)
    ledger.end(db, who.tenant_id, "two", VOID)
    assert db.all("SELECT month, category, open, ended FROM month_calls") == [("2026-11", "llm", 1, 1)]


def test_a_reference_is_credited_once_per_tenant_and_kind(db: Transaction) -> None:
    mine, theirs = make_tenant(db, "Acme", credit=0), make_tenant(db, "Bolt", credit=0)
    assert ledger.credit(db, mine, "purchase", 500, "order 1", DAY_0)
    assert not ledger.credit(db, mine, "purchase", 500, "order 1", DAY_0)
    assert ledger.credit(db, mine, "grant", 70, "order 1", DAY_0)
    assert ledger.credit(db, theirs, "purchase", 9, "order 1", DAY_0)
    assert [ledger.balance(db, each) for each in (mine, theirs)] == [(570, 0), (9, 0)]


def test_an_unknown_tenant_has_no_balance_and_gets_no_credit(db: Transaction) -> None:
    with pytest.raises(Problem, match="not_found"):
        ledger.balance(db, "nobody")
    with pytest.raises((Problem, *BROKEN_RULE)):
        ledger.credit(db, "nobody", "grant", 1, "x", DAY_0)
    assert db.all("SELECT * FROM ledger_entries") == []


def test_holds_are_due_only_after_their_time_the_oldest_first(db: Transaction) -> None:
    who = make_principal(db)
    for number in (2, 0, 1):
        open_call(db, who, f"call {number}", life_us=DAY_US + number)
    due = DAY_0 + DAY_US + 1
    assert ledger.expired(db, due, 10) == [(who.tenant_id, "call 0")]
    assert ledger.expired(db, due + 1, 10) == [(who.tenant_id, "call 0"), (who.tenant_id, "call 1")]
    assert ledger.expired(db, due + 1, 1) == [(who.tenant_id, "call 0")]


def drop_checks(db: Transaction) -> None:
    """From here on the tables take whatever they are given."""
    if db.engine == "sqlite":
        db.do("PRAGMA ignore_check_constraints = ON")
    else:
        checks = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
        for table, name in db.all(f"{checks} AND connamespace = 'public'::regnamespace"):
            db.do(f"ALTER TABLE {table} DROP CONSTRAINT {name}")


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE tenants SET balance = balance + 1",
        "UPDATE tenants SET held = held + 1",
        "UPDATE tenants SET held = -1",
        "UPDATE tenants SET balance = held - 1",
        "UPDATE api_keys SET in_flight = 0",
        "UPDATE api_keys SET held = held - 1",
        "UPDATE calls SET hold = hold + 1 WHERE state = 'held'",
        "UPDATE calls SET state = 'voided' WHERE state = 'held'",
        "UPDATE calls SET charge = charge + 1 WHERE state = 'posted'",
        "UPDATE ledger_entries SET ref = 'other' WHERE kind = 'charge'",
        "DELETE FROM ledger_entries WHERE kind = 'grant'",
        "DELETE FROM ledger_entries WHERE kind = 'charge'",
        "DELETE FROM calls WHERE state = 'held'",
    ],
)
def test_books_that_do_not_balance_are_seen(db: Transaction, harm: str) -> None:
    who = make_principal(db)
    open_call(db, who, "open")
    open_call(db, who, "closed")
    post(db, who, "closed")
    assert (ledger.broken_tenants(db), faults(db)) == ([], {})
    drop_checks(db)
    db.run(harm)
    assert ledger.broken_tenants(db) == [who.tenant_id]


def test_only_the_tenant_whose_books_are_broken_is_named(db: Transaction) -> None:
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    db.run("UPDATE tenants SET balance = balance - 1 WHERE id = ?", theirs)
    assert (mine != theirs, ledger.broken_tenants(db)) == (True, [theirs])


@pytest.mark.parametrize(
    "harm", ["UPDATE tenants SET held = -1", "UPDATE tenants SET held = balance + 1", "UPDATE calls SET state = 'lost'"]
)
def test_the_tables_themselves_refuse_the_impossible(db: Transaction, harm: str) -> None:
    open_call(db, make_principal(db))
    with pytest.raises(BROKEN_RULE):
        db.run(harm)
