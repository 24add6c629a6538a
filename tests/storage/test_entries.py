"""Lines of the ledger read back: pages without a gap, sums that are exact, and no query that grows with the ledger."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from app.core.credits import EntryType
from app.core.errors import Problem
from app.core.times import DAY_US, Place
from app.storage import entries, ledger
from app.storage.database import Transaction
from app.storage.entries import Wanted
from tests.storage.making import DAY_0, make_principal, make_tenant, open_call, post

EVERYTHING = Wanted(None, 0, None, 1000)


def sums(db: Transaction, tenant_id: str, since_us: int = 0) -> dict[str, tuple[int, int]]:
    """What `sums_by_type` must say, from the lines themselves."""
    found: dict[str, list[int]] = defaultdict(list)
    sql = "SELECT type, amount FROM ledger_entries WHERE tenant_id = ? AND created_at >= ?"
    for kind, amount in db.all(sql, tenant_id, since_us):
        found[kind].append(amount)
    return {kind: (len(amounts), sum(amounts)) for kind, amounts in found.items()}


def fill(db: Transaction) -> str:
    """A tenant with lines of every type over some days, and a neighbour with as many."""
    chance = random.Random(3)
    db.do("BEGIN")
    neighbour = make_principal(db, "Bolt", 10**6)
    who = make_principal(db, "Acme", 10**6)
    for number in range(40):
        at = DAY_0 + number // 2 * DAY_US // 7
        for principal in (who, neighbour):
            open_call(db, principal, f"call {number}", life_us=100 * DAY_US)
            post(db, principal, f"call {number}", chance.randrange(0, 90), at)
        kind, ref = chance.choice([("refund", "r"), ("purchase", "p"), ("grant", "coupon:"), ("grant", "plan:")])
        ledger.credit(db, who.tenant_id, kind, chance.randrange(1, 50), f"{ref}{number}", at, "a note")
    ledger.credit(db, who.tenant_id, "grant", 50, "signup_bonus", DAY_0)
    db.do("COMMIT")
    return who.tenant_id


def test_a_line_says_what_it_was_for(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who, "call")
    post(db, who, "call", cost=60, at_us=DAY_0 + 1)
    ledger.credit(db, who.tenant_id, "refund", 5, "ticket-1", DAY_0 + 2, "Sorry")
    refund, charge, grant = entries.list_entries(db, who.tenant_id, EVERYTHING)
    assert refund[1:] == ("refund", "refund", 5, 945, "ticket-1", "Sorry", DAY_0 + 2, None, None, None)
    assert charge[1:] == (*("charge", "deduction", -60, 940, "call", "", DAY_0 + 1), "llm", "kimi-k2.5", "req_1")
    assert (grant.type, grant.amount, grant.ref) == ("admin", 1000, "start")


@pytest.mark.parametrize("limit", [1, 7, 200])
@pytest.mark.parametrize("kind", [None, "deduction", "refund", "coupon", "signup_bonus"])
def test_pages_hold_every_line_of_a_type_once_newest_first(db: Transaction, kind: EntryType | None, limit: int) -> None:
    tenant = fill(db)
    seen: list[tuple[Any, ...]] = []
    after = None
    while page := entries.list_entries(db, tenant, Wanted(kind, 0, after, limit)):
        seen += [(line.created_us, line.id) for line in page]
        assert {line.type for line in page} == {kind} or kind is None
        after = Place(*seen[-1])
    sql = "SELECT created_at, id FROM ledger_entries WHERE tenant_id = ? AND (type = ? OR CAST(? AS TEXT) IS NULL)"
    assert seen == sorted(db.all(sql, tenant, kind, kind), reverse=True)
    assert seen


def test_the_sums_by_day_are_those_of_the_lines(db: Transaction) -> None:
    tenant = fill(db)
    assert entries.sums_by_type(db, tenant) == sums(db, tenant)
    first_day = DAY_0 // DAY_US + 2
    assert entries.sums_by_type(db, tenant, first_day) == sums(db, tenant, first_day * DAY_US)
    assert entries.sums_by_type(db, tenant, first_day + 999) == {}


def test_a_line_is_not_older_than_what_is_asked_for(db: Transaction) -> None:
    tenant = fill(db)
    since = DAY_0 + DAY_US
    found = entries.list_entries(db, tenant, EVERYTHING._replace(since_us=since))
    assert len(found) == sum(count for count, _ in sums(db, tenant, since).values())
    assert min(line.created_us for line in found) >= since


def test_sums_that_do_not_agree_with_the_balance_break_the_books(db: Transaction) -> None:
    tenant = make_tenant(db)
    assert ledger.broken_tenants(db) == []
    db.run("UPDATE ledger_days SET amount = amount + 1")
    assert ledger.broken_tenants(db) == [tenant]


def test_credits_are_taken_only_as_far_as_no_call_holds_them(db: Transaction) -> None:
    who = make_principal(db, credit=1000)
    open_call(db, who, hold=300)
    with pytest.raises(Problem, match=r"take at most 0\.000700 credits"):
        ledger.credit(db, who.tenant_id, "adjust", -701, "too much", DAY_0)
    assert ledger.credit(db, who.tenant_id, "adjust", -700, "all of it", DAY_0)
    assert not ledger.credit(db, who.tenant_id, "adjust", -700, "all of it", DAY_0)
    assert ledger.balance(db, who.tenant_id) == (300, 300)


def test_the_amount_of_a_reference_is_known_by_its_kind(db: Transaction) -> None:
    tenant = make_tenant(db)
    assert entries.find_amount(db, tenant, "grant", "start") == 1000
    assert entries.find_amount(db, tenant, "refund", "start") is None
    assert entries.find_amount(db, make_tenant(db, "Bolt", credit=0), "grant", "start") is None


INDEXES: dict[EntryType | None, str] = {None: "ledger_newest", "deduction": "ledger_newest", "refund": "ledger_credits"}


@pytest.mark.parametrize("after", [None, Place(DAY_0 + DAY_US, "f")])
@pytest.mark.parametrize("kind", INDEXES)
def test_a_page_is_read_off_an_index_without_a_sort(
    db: Transaction, kind: EntryType | None, after: Place | None
) -> None:
    tenant = fill(db)
    sql, values = entries.entries_query(tenant, Wanted(kind, DAY_0, after, 50))
    plan = explained(db, sql, values)
    assert INDEXES[kind] in plan
    for word in ("SCAN e", "SCAN c", "TEMP B-TREE", "Seq Scan", "Sort", "Hash"):
        assert word not in plan


def explained(db: Transaction, sql: str, values: tuple[object, ...]) -> str:
    if db.engine == "sqlite":
        return "\n".join(row[3] for row in db.all(f"EXPLAIN QUERY PLAN {sql}", *values))
    db.do("SET enable_seqscan = off")  # so few rows are read faster without an index
    db.do("SET enable_sort = off")
    return "\n".join(row[0] for row in db.all(f"EXPLAIN {sql}", *values))
