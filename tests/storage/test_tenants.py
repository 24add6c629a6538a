"""Organisations and members: made once, changed when something changed, and one address belongs to one."""

from __future__ import annotations

import pytest

from app.storage import tenants
from app.storage.database import Transaction
from tests.databases import BROKEN_RULE
from tests.storage.making import DAY_0, make_tenant

ADA = ("ada@acme.example", "Ada", "owner", "hash 1")


def add(db: Transaction, tenant_id: str, email: str, name: str, role: str, password: str) -> str:
    return tenants.upsert_member(db, tenant_id, email, name, role, password, DAY_0)


def test_a_tenant_is_made_once_and_changed_when_something_changed(db: Transaction) -> None:
    first = tenants.upsert_tenant(db, "Acme", "free", None, DAY_0)
    assert first[1] == "created"
    assert tenants.upsert_tenant(db, "Acme", "free", None, DAY_0) == (first[0], "unchanged")
    assert tenants.upsert_tenant(db, "Acme", "pro", None, DAY_0) == (first[0], "changed")
    assert tenants.upsert_tenant(db, "Acme", "pro", 500, DAY_0) == (first[0], "changed")
    assert db.all("SELECT name, plan, budget, version, balance, held FROM tenants") == [("Acme", "pro", 500, 3, 0, 0)]


def test_a_member_is_added_once_and_a_known_one_keeps_the_password(db: Transaction) -> None:
    tenant = make_tenant(db)
    assert add(db, tenant, *ADA) == "created"
    assert add(db, tenant, *ADA[:3], "hash 2") == "unchanged"
    assert add(db, tenant, ADA[0], "Ada L.", "owner", "hash 3") == "changed"
    assert db.all("SELECT email, full_name, role, password_hash FROM users") == [
        ("ada@acme.example", "Ada L.", "owner", "hash 1")
    ]


def test_an_address_of_another_organisation_is_refused_and_left_alone(db: Transaction) -> None:
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    add(db, theirs, *ADA)
    with pytest.raises(ValueError, match=r"ada@acme\.example is a member of another organisation"):
        add(db, mine, ADA[0], "Mallory", "admin", "hash")
    assert db.all("SELECT tenant_id, full_name, role FROM users") == [(theirs, "Ada", "owner")]
    assert [tenants.find_owner(db, each) for each in (mine, theirs)] == [None, ADA[0]]


def test_an_organisation_has_one_owner(db: Transaction) -> None:
    tenant = make_tenant(db)
    add(db, tenant, *ADA)
    with pytest.raises(BROKEN_RULE):
        add(db, tenant, "eve@acme.example", "Eve", "owner", "hash")


@pytest.mark.parametrize("role", ["root", "", "Owner"])
def test_only_the_roles_of_the_contract_exist(db: Transaction, role: str) -> None:
    with pytest.raises(BROKEN_RULE):
        add(db, make_tenant(db), "eve@acme.example", "Eve", role, "hash")


def test_a_password_is_set_in_ones_own_organisation_only(db: Transaction) -> None:
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    add(db, mine, *ADA)
    tenants.set_password(db, theirs, ADA[0], "stolen")
    assert db.one("SELECT password_hash FROM users") == ("hash 1",)
    tenants.set_password(db, mine, ADA[0], "hash 2")
    assert db.one("SELECT password_hash FROM users") == ("hash 2",)


def test_names_and_addresses_are_known_once_they_are_there(db: Transaction) -> None:
    tenant = make_tenant(db)
    add(db, tenant, *ADA)
    assert (tenants.find_tenant(db, "Acme"), tenants.find_tenant(db, "acme")) == (tenant, None)
    assert (tenants.knows_email(db, ADA[0]), tenants.knows_email(db, "eve@acme.example")) == (True, False)
