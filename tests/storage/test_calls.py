"""Reading calls back: a whole row, its receipt decoded, and never another tenant's."""

from __future__ import annotations

from app.storage.calls import COLUMNS, find_call
from app.storage.database import Transaction
from tests.storage.making import DAY_0, DAY_US, make_principal, make_tenant, open_call, post


def test_an_open_call_is_read_as_held_and_without_a_receipt(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who, hold=100)
    call = find_call(db, who.tenant_id, "call")
    assert call is not None
    assert tuple(call) == COLUMNS
    assert (call["state"], call["hold"], call["expires_at"], call["charge"]) == ("held", 100, DAY_0 + DAY_US, 0)
    assert (call["ended_at"], call["outcome"], call["basis"], call["receipt"]) == (None, None, "none", {})


def test_an_ended_call_has_its_charge_its_basis_and_its_receipt(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who)
    post(db, who, cost=60)
    call = find_call(db, who.tenant_id, "call")
    assert call is not None
    assert (call["state"], call["outcome"], call["charge"], call["uncollected"]) == ("posted", "completed", 60, 0)
    assert (call["basis"], call["rule"], call["receipt"]) == ("provider_usage", "B5", {"usage": {"prompt": 3}})
    assert (call["key_id"], call["request_id"], call["model"]) == (who.key_id, "req_1", "kimi-k2.5")


def test_a_call_of_another_tenant_is_as_missing_as_one_that_never_was(db: Transaction) -> None:
    open_call(db, make_principal(db))
    other = make_tenant(db, "Bolt")
    assert find_call(db, other, "call") is None
    assert find_call(db, other, "never") is None
