"""A business that an older version has written comes through the upgrade: its money, its keys, its running calls.

`OLD` is the schema of that version and `old_business` writes as it did, by statements of its own: what the gateway
writes today would not fit.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from app.core.errors import Problem
from app.core.identity import key_digest
from app.storage import entries, keys, migrations
from app.storage.database import Transaction
from app.storage.migrations import migrate_job
from app.storage.recount import recount
from app.storage.schema_core import STEPS as OLD
from app.storage.usage_days import Sums, sums_by
from tests.books import faults
from tests.storage.making import DAY_0, DAY_US, SECRET, make_key, open_call, post, read_key

TENANTS: Final = ("ten_a", "ten_b")
NOW: Final = DAY_0 + 2 * DAY_US
#: Name, whether it is live, and when it expires.
KEYS: Final = (("main", 1, None), ("revoked", 0, None), ("expired", 1, DAY_0 + 1), ("later", 1, NOW + DAY_US))
#: State, outcome, charge, uncollected and how long it took; all begin on the first day but the last.
ENDED: Final = (
    ("posted", "completed", 60, 0, 1500),
    ("posted", "completed", 40, 7, 500),
    ("posted", "cancelled", 30, 0, 300),
    ("voided", "failed", 0, 0, 200),
    ("expired", "interrupted", 0, 0, 9000),
)
HOLD: Final = 100
#: Kind, reference and amount as they were written, and the type that they are of today.
CREDITED: Final = (
    ("grant", "signup_bonus", 500, "signup_bonus"),
    ("grant", "plan:pro:2026-11", 300, "plan_grant"),
    ("grant", "coupon:DIWALI", 20, "coupon"),
    ("grant", "seed", 10, "admin"),
    ("purchase", "pi_1", 900, "purchase"),
    ("refund", "call_1", 15, "refund"),
    ("adjust", "ticket", -45, "admin"),
)


@pytest.fixture
def upgraded(empty: Transaction, monkeypatch: pytest.MonkeyPatch) -> Transaction:
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", OLD)
        migrate_job(empty)
    for tenant_id in TENANTS:
        old_business(empty, tenant_id)
    migrate_job(empty)
    return empty


def test_its_books_and_the_new_sums_by_day_agree(upgraded: Transaction) -> None:
    assert faults(upgraded) == {}
    first, second = (Sums(*sums) for _, sums in sums_by(upgraded, "ten_a", "day", 0, NOW // DAY_US))
    assert (first.completed, first.cancelled, first.failed, first.interrupted) == (2, 1, 1, 0)
    assert (first.charge, first.uncollected, first.latency_us) == (130, 7, 2500)
    assert second == Sums(interrupted=1)


def test_its_lines_of_the_ledger_are_of_the_type_that_their_references_say(upgraded: Transaction) -> None:
    expected: dict[str, tuple[int, int]] = {"deduction": (3, -130)}
    for *_, amount, kind in CREDITED:
        count, total = expected.get(kind, (0, 0))
        expected[kind] = (count + 1, total + amount)
    assert entries.sums_by_type(upgraded, "ten_a") == expected


def test_its_keys_open_what_they_did(upgraded: Transaction) -> None:
    for tenant_id in TENANTS:
        live = read_key(upgraded, key_text(tenant_id, "main"), NOW)
        assert (live.tenant_id, live.key_id, live.rpm, live.budget_ucr) == (tenant_id, f"{tenant_id}_main", 60, 10_000)
        assert live.allowed_models == {"kimi-k2.6"}
        assert read_key(upgraded, key_text(tenant_id, "later"), NOW).expires_us == NOW + DAY_US
        for name, code in (("revoked", "invalid_api_key"), ("expired", "api_key_expired")):
            with pytest.raises(Problem, match=code):
                read_key(upgraded, key_text(tenant_id, name), NOW)


def test_its_running_calls_end_and_new_ones_begin(upgraded: Transaction) -> None:
    who = read_key(upgraded, key_text("ten_a", "main"), DAY_0)
    assert post(upgraded, who, "ten_a_held", cost=80, at_us=NOW).charge == 80
    open_call(upgraded, who)
    assert post(upgraded, who, cost=5).charge == 5
    assert faults(upgraded) == {}


def test_what_a_gateway_of_the_old_version_writes_after_the_upgrade_is_counted_later(upgraded: Transaction) -> None:
    for kind, ref, amount in (("grant", "coupon:LATE", 40), ("charge", "ten_a_late", -25)):
        insert_entry(upgraded, "ten_a", kind, ref, amount)
    upgraded.do("UPDATE tenants SET balance = balance + 15 WHERE id = 'ten_a'")
    end = {"state": "posted", "outcome": "completed", "rule": "B5", "ended_at": NOW, "charge": 25}
    insert(upgraded, "calls", **call_row("ten_a", "ten_a_late", DAY_0), **end)
    upgraded.do("UPDATE month_calls SET ended = ended + 1 WHERE tenant_id = 'ten_a'")
    assert faults(upgraded) != {}
    assert recount(upgraded, "ten_a") == 3
    assert faults(upgraded) == {}
    assert entries.sums_by_type(upgraded, "ten_a")["coupon"] == (2, 60)
    assert [recount(upgraded, tenant_id) for tenant_id in TENANTS] == [0, 0]


def test_a_revoked_key_gives_its_name_back(upgraded: Transaction) -> None:
    make_key(upgraded, "ten_a", "revoked")
    found = keys.find_key(upgraded, "ten_a", "revoked")
    assert found is not None
    assert found.is_active


def key_text(tenant_id: str, name: str) -> str:
    return f"cm_{tenant_id}_{name}"


def insert(db: Transaction, table: str, **values: Any) -> None:
    marks = ", ".join("?" * len(values))
    db.do(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", *values.values())  # noqa: S608


def old_business(db: Transaction, tenant_id: str) -> None:
    """A tenant with one call still running."""
    charges = sum(charge for _, _, charge, _, _ in ENDED)
    balance = sum(amount for _, _, amount, _ in CREDITED) - charges
    sums = {"balance": balance, "held": HOLD, "spent_month": "2026-11", "spent": charges}
    insert(db, "tenants", id=tenant_id, name=tenant_id, plan="pro", created_at=DAY_0, **sums)
    for name, is_active, expires_at in KEYS:
        key_id, digest = f"{tenant_id}_{name}", key_digest(SECRET, key_text(tenant_id, name))
        busy = {"in_flight": 1, "held": HOLD, "spent_month": "2026-11", "spent": charges} if name == "main" else {}
        settings = {"rpm": 60, "budget": 10_000, "allowed_models": "kimi-k2.6"} if name == "main" else {}
        key = {"id": key_id, "tenant_id": tenant_id, "name": name, "digest": digest, "hint": "cm_ten", **busy}
        insert(db, "api_keys", **key, **settings, is_active=is_active, expires_at=expires_at, created_at=DAY_0)
    for number, (state, outcome, charge, uncollected, took_us) in enumerate(ENDED):
        opened_at = DAY_0 + (DAY_US if outcome == "interrupted" else 0)
        call = call_row(tenant_id, f"{tenant_id}_{number}", opened_at)
        end = {"state": state, "outcome": outcome, "rule": "B5", "ended_at": opened_at + took_us}
        insert(db, "calls", **call, **end, charge=charge, uncollected=uncollected)
        if charge:
            insert_entry(db, tenant_id, "charge", f"{tenant_id}_{number}", -charge)
    insert(db, "calls", **call_row(tenant_id, f"{tenant_id}_held", DAY_0))
    month = {"month": "2026-11", "category": "llm", "open": 1, "ended": 2}
    insert(db, "month_calls", tenant_id=tenant_id, **month)
    for kind, ref, amount, _ in CREDITED:
        insert_entry(db, tenant_id, kind, ref, amount)


def call_row(tenant_id: str, call_id: str, opened_at: int) -> dict[str, Any]:
    who = {"tenant_id": tenant_id, "id": call_id, "key_id": f"{tenant_id}_main", "request_id": "req"}
    what = {"endpoint": "/v1/x", "category": "llm", "model": "kimi-k2.6", "streamed": 0, "month": "2026-11"}
    return {**who, **what, "opened_at": opened_at, "hold": HOLD, "expires_at": opened_at + DAY_US}


def insert_entry(db: Transaction, tenant_id: str, kind: str, ref: str, amount: int) -> None:
    ids = {"id": f"{tenant_id} {kind} {ref}", "tenant_id": tenant_id, "kind": kind, "ref": ref}
    insert(db, "ledger_entries", **ids, amount=amount, balance_after=0, created_at=DAY_0 + len(ref) % 2 * DAY_US)
