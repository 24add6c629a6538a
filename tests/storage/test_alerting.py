"""Webhooks hear of budgets and balances in the transaction in which they run out, once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.identity import Principal
from app.storage import alerting, keys, ledger, outbox
from app.storage.budgets import read_budget, write_budget
from app.storage.database import Transaction
from app.storage.keys import KeySettings
from tests.storage.making import DAY_0, DAY_US, make_key, make_tenant, open_call, post, read_key

ROOM = 10_000


def listener(db: Transaction, tenant_id: str) -> None:
    db.do(
        "INSERT INTO webhooks (tenant_id, id, url, events, secret, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, 0, 0)",
        *(tenant_id, f"hook of {tenant_id}", "https://hook.example", "*", "sealed"),
    )


def told(db: Transaction) -> list[tuple[str, dict[str, Any]]]:
    """(event, data), oldest first; what was told is forgotten."""
    found = [msgspec.json.decode(row[0]) for row in db.all("SELECT body FROM deliveries ORDER BY created_at, event")]
    db.do("DELETE FROM deliveries")
    return [(each["event"], each["data"]) for each in found]


def events(db: Transaction) -> list[str]:
    return [event for event, _ in told(db)]


@pytest.fixture
def who(db: Transaction) -> Principal:
    """A key with a budget of 100 of a tenant with one of 200, who would be told below a balance of 9,900."""
    tenant = make_tenant(db, credit=ROOM)
    listener(db, tenant)
    listener(db, make_tenant(db, "Bolt"))
    budget = read_budget(db, tenant)
    write_budget(db, tenant, budget._replace(limit_ucr=200, low_balance_ucr=ROOM - 100))
    return read_key(db, make_key(db, tenant, budget_ucr=100))


def spend(db: Transaction, who: Principal, call_id: str, cost: int, at_us: int = DAY_0) -> None:
    open_call(db, who, call_id, hold=cost)
    post(db, who, call_id, cost, at_us)


def test_each_share_is_told_with_the_charge_that_reaches_it_and_with_no_other(db: Transaction, who: Principal) -> None:
    heard = []
    for number, cost in enumerate((79, 1, 19, 1, 1, 59, 40)):
        spend(db, who, f"call {number}", cost)
        heard.append(events(db))
    assert heard == [
        *([], ["budget.alert"], [], ["budget.exceeded"], ["credits.low"]),
        *(["budget.alert"], ["budget.exceeded"]),
    ]


def test_an_event_says_whose_budget_and_how_much(db: Transaction, who: Principal) -> None:
    spend(db, who, "call", 85)
    amounts = {"budget_credits": 0.0001, "used_credits": 0.000085}
    whose = {"scope": "key", "key_id": who.key_id, "key_name": "main", "month": "2026-11"}
    assert told(db) == [("budget.alert", {**whose, **amounts})]


def test_a_charge_that_crosses_nothing_runs_no_statement_of_ours(who: Principal) -> None:
    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was called")

    row = (1, ROOM - 100, 200, "", 0, "", 100, "", 0, "", who.key_id, "main")
    silent: Any = Silent()
    alerting.tell_charge(silent, who.tenant_id, row, 79, ROOM, DAY_0)
    with pytest.raises(AssertionError, match="was called"):
        alerting.tell_charge(silent, who.tenant_id, row, 80, ROOM, DAY_0)


def test_a_tenant_without_alerts_is_told_nothing(db: Transaction, who: Principal) -> None:
    write_budget(db, who.tenant_id, read_budget(db, who.tenant_id)._replace(alerts_enabled=False))
    spend(db, who, "call", 100)
    alerting.tell_refusal(db, who.tenant_id, who.key_id, 500, DAY_0)
    assert events(db) == []


def test_a_call_that_ends_free_or_twice_tells_nothing_more(db: Transaction, who: Principal) -> None:
    spend(db, who, "call", 85)
    assert events(db) == ["budget.alert"]
    post(db, who, "call", 85)
    assert events(db) == []


def test_a_new_month_is_told_anew(db: Transaction, who: Principal) -> None:
    for month, heard in enumerate((["budget.alert", "budget.exceeded"], ["budget.alert", "budget.exceeded"])):
        spend(db, who, f"call {month}", 100, DAY_0 + month * 30 * DAY_US)
        assert [event for event in events(db) if event.startswith("budget")][:2] == heard


def test_the_first_refusal_of_a_month_is_told_and_no_other(db: Transaction, who: Principal) -> None:
    spend(db, who, "call", 95)
    told(db)
    refusal = (who.tenant_id, who.key_id, 6, DAY_0)
    for expected in (True, False, False):
        assert alerting.is_untold(db, *refusal) == expected
        alerting.tell_refusal(db, *refusal)
        assert events(db) == ["budget.exceeded"] * expected
    assert not alerting.is_untold(db, who.tenant_id, who.key_id, 5, DAY_0)
    spend(db, who, "last", 5)
    assert events(db) == []


def test_a_budget_that_was_changed_is_told_anew(db: Transaction, who: Principal) -> None:
    spend(db, who, "call", 100)
    assert events(db) == ["budget.alert", "budget.exceeded"]
    assert keys.update_key(db, who.tenant_id, who.key_id, KeySettings("main", budget_ucr=100, rpm=5))
    alerting.tell_refusal(db, who.tenant_id, who.key_id, 1, DAY_0)
    assert events(db) == ["budget.exceeded"]


def test_a_refusal_for_another_tenants_key_tells_nobody(db: Transaction, who: Principal) -> None:
    row = db.one("SELECT id FROM tenants WHERE name = 'Bolt'")
    assert row is not None
    assert not alerting.is_untold(db, row[0], who.key_id, 10**6, DAY_0)
    alerting.tell_refusal(db, row[0], who.key_id, 10**6, DAY_0)
    assert events(db) == []


def test_what_is_told_is_undone_with_its_charge(db: Transaction, who: Principal) -> None:
    open_call(db, who, hold=100)
    db.do("BEGIN")
    post(db, who, cost=100)
    db.do("ROLLBACK")
    assert (events(db), ledger.balance(db, who.tenant_id)) == ([], (ROOM, 100))
    assert outbox.emit(db, who.tenant_id, "budget.alert", {}, DAY_0) == 1
