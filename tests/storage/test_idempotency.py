"""Idempotency keys in the database: claimed by one, bound to a call, kept once, forgotten in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from app.core.errors import Problem
from app.core.idempotency import KEEP_US, LEASE_US, Claim
from app.core.identity import Principal
from app.storage import idempotency, keys, ledger
from app.storage.database import Transaction
from app.storage.ledger import Closing, StaleKey
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0, make_principal, open_call, post

pytestmark = ON_BOTH

FIRST: Final = Claim("digest", "fingerprint", "req_1")
SECOND: Final = replace(FIRST, token="req_2")
FREE: Final = Closing("voided", "failed", 0, "none", "B6", "{}", DAY_0)
CUT: Final = Closing("posted", "cancelled", 60, "usage_snapshot", "B3", "{}", DAY_0)


@pytest.fixture
def who(db: Transaction) -> Principal:
    return make_principal(db)


def claim(db: Transaction, who: Principal, claim: Claim, at: int = DAY_0) -> tuple[int, str] | str | None:
    """What it gives, or the code of its refusal."""
    try:
        return idempotency.claim(db, who.tenant_id, claim, at)
    except Problem as problem:
        return problem.code


def begin(db: Transaction, who: Principal, call_id: str = "call", taken: Claim = FIRST) -> None:
    """Claim and admit."""
    assert claim(db, who, taken) is None
    open_call(db, who, call_id)
    idempotency.bind(db, who.tenant_id, taken, call_id)


def test_one_of_two_requests_has_the_key(db: Transaction, who: Principal) -> None:
    assert claim(db, who, FIRST) is None
    assert claim(db, who, SECOND) == "idempotency_in_progress"
    assert claim(db, who, replace(SECOND, fingerprint="other")) == "idempotency_key_reused"


def test_an_answer_that_is_kept_with_its_charge_is_given_again(db: Transaction, who: Principal) -> None:
    begin(db, who)
    assert claim(db, who, SECOND, DAY_0 + LEASE_US) == "idempotency_in_progress"
    post(db, who)
    idempotency.keep_charged(db, who.tenant_id, FIRST, 200, "sealed")
    assert claim(db, who, SECOND) == (200, "sealed")
    idempotency.keep_charged(db, who.tenant_id, FIRST, 200, "later")
    assert claim(db, who, SECOND) == (200, "sealed")


def test_a_call_that_was_charged_without_an_answer_keeps_its_key_for_good(db: Transaction, who: Principal) -> None:
    begin(db, who)
    ledger.end(db, who.tenant_id, "call", CUT)
    idempotency.release(db, who.tenant_id, FIRST)
    idempotency.keep_free(db, who.tenant_id, FIRST, 400, "sealed")
    assert claim(db, who, SECOND) == "idempotency_key_reused"
    with pytest.raises(Problem, match="idempotency_in_progress"):
        idempotency.bind(db, who.tenant_id, FIRST, "another")


def test_a_call_that_was_free_leaves_its_key_free(db: Transaction, who: Principal) -> None:
    begin(db, who)
    ledger.end(db, who.tenant_id, "call", FREE)
    begin(db, who, "second", SECOND)
    assert claim(db, who, replace(FIRST, token="req_3")) == "idempotency_in_progress"


def test_who_has_lost_the_key_is_not_admitted_and_keeps_nothing(db: Transaction, who: Principal) -> None:
    assert claim(db, who, FIRST) is None
    assert claim(db, who, SECOND, DAY_0 + LEASE_US) is None
    with pytest.raises(Problem, match="idempotency_in_progress"):
        idempotency.bind(db, who.tenant_id, FIRST, "call")
    idempotency.keep_charged(db, who.tenant_id, FIRST, 200, "sealed")
    idempotency.keep_free(db, who.tenant_id, FIRST, 404, "sealed")
    idempotency.release(db, who.tenant_id, FIRST)
    assert claim(db, who, replace(FIRST, token="req_3"), DAY_0 + LEASE_US) == "idempotency_in_progress"


def test_a_refusal_is_kept_before_a_call_and_after_a_free_one(db: Transaction, who: Principal) -> None:
    assert claim(db, who, FIRST) is None
    idempotency.keep_free(db, who.tenant_id, FIRST, 404, "refused")
    assert claim(db, who, SECOND) == (404, "refused")
    other = replace(FIRST, key="other")
    begin(db, who, taken=other)
    ledger.end(db, who.tenant_id, "call", FREE)
    idempotency.keep_free(db, who.tenant_id, other, 400, "refused")
    assert claim(db, who, replace(other, token="req_2")) == (400, "refused")


def test_a_claim_that_came_to_nothing_is_forgotten(db: Transaction, who: Principal) -> None:
    assert claim(db, who, FIRST) is None
    idempotency.release(db, who.tenant_id, FIRST)
    assert claim(db, who, replace(SECOND, fingerprint="other")) is None


def test_two_tenants_with_one_key_are_strangers(db: Transaction, who: Principal) -> None:
    stranger = make_principal(db, "Stranger")
    begin(db, who)
    post(db, who)
    idempotency.keep_charged(db, who.tenant_id, FIRST, 200, "sealed")
    assert claim(db, stranger, SECOND) is None
    idempotency.release(db, stranger.tenant_id, FIRST)
    assert claim(db, who, SECOND) == (200, "sealed")


def test_a_key_that_has_changed_is_read_again_before_anything_is_replayed(db: Transaction, who: Principal) -> None:
    idempotency.check_key(db, who.tenant_id, who)
    keys.revoke_key(db, who.tenant_id, who.key_id)
    for principal in (who, replace(who, version=who.version + 1), replace(who, key_id="none")):
        with pytest.raises(StaleKey):
            idempotency.check_key(db, who.tenant_id, principal)


def test_what_is_past_its_time_is_swept_away(db: Transaction, who: Principal) -> None:
    for number in range(5):
        assert claim(db, who, replace(FIRST, key=f"k{number}"), DAY_0 + number) is None
    at = DAY_0 + KEEP_US + 2
    assert [idempotency.sweep(db, at, 2) for _ in range(3)] == [2, 1, 0]
    assert db.all("SELECT digest FROM idempotency_keys ORDER BY digest") == [("k3",), ("k4",)]
