"""Keys as their organisation manages them: names free again, pages without a gap, changes that raise the version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.core.errors import Problem
from app.core.identity import key_digest, new_key
from app.core.times import Place
from app.storage import key_rows, keys
from app.storage.database import Transaction
from app.storage.key_rows import KeyRow
from tests.databases import BROKEN_RULE
from tests.storage.key_making import key_row
from tests.storage.making import DAY_0, SECRET, make_key, make_tenant, read_key


def add(db: Transaction, tenant_id: str, name: str, at_us: int = DAY_0, **settings: Any) -> tuple[KeyRow, str]:
    """(the row, the key's text)."""
    text = new_key()
    row = key_row(name, at_us)._replace(hint=text[:8], **settings)
    key_rows.insert_row(db, tenant_id, row, key_digest(SECRET, text))
    return row, text


def test_a_key_that_is_written_is_read_back_and_works(db: Transaction) -> None:
    tenant = make_tenant(db)
    row, text = add(db, tenant, "main", scopes="usage:read", rpm=7, logs_enabled=True, expires_us=DAY_0 + 1)
    assert key_rows.find_row(db, tenant, row.id) == row
    who = read_key(db, text)
    assert (who.tenant_id, who.key_id, who.rpm, who.scopes) == (tenant, row.id, 7, frozenset({"usage:read"}))


def test_a_change_is_kept_and_raises_the_version(db: Transaction) -> None:
    tenant = make_tenant(db)
    row, text = add(db, tenant, "main")
    before = read_key(db, text)
    changed = row._replace(name="other", rpm=3, budget_ucr=5, prompt_logging_enabled=True, permissions="llm")
    key_rows.update_row(db, tenant, changed)
    assert key_rows.find_row(db, tenant, row.id) == changed
    after = read_key(db, text)
    assert after == replace(before, rpm=3, budget_ucr=5, permissions=frozenset({"llm"}), version=before.version + 1)


def test_another_text_takes_the_place_of_the_first(db: Transaction) -> None:
    tenant = make_tenant(db)
    row, old = add(db, tenant, "main", rpm=9)
    before, text = read_key(db, old), new_key()
    key_rows.replace_text(db, tenant, row.id, key_digest(SECRET, text), text[:8])
    assert read_key(db, text) == replace(before, version=before.version + 1)
    with pytest.raises(Problem, match="invalid_api_key"):
        read_key(db, old)


def test_the_name_of_a_revoked_key_is_free_and_stays_its_own(db: Transaction) -> None:
    tenant = make_tenant(db)
    for _ in range(3):
        row, _text = add(db, tenant, "server")
        assert key_rows.find_live(db, tenant, "server") == row.id
        assert keys.revoke_key(db, tenant, row.id)
        assert key_rows.find_live(db, tenant, "server") is None
    listed = key_rows.list_rows(db, tenant, revoked=True, after=None, limit=9)
    assert [(key.name, key.is_active) for key in listed] == [("server", False)] * 3


def test_two_live_keys_of_a_tenant_never_share_a_name_but_those_of_two_tenants_may(db: Transaction) -> None:
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    add(db, mine, "server")
    add(db, theirs, "server")
    with pytest.raises(BROKEN_RULE):
        add(db, mine, "server")


def test_a_seed_finds_the_live_key_of_a_name_before_the_revoked_ones(db: Transaction) -> None:
    tenant = make_tenant(db)
    first, _ = add(db, tenant, "server")
    keys.revoke_key(db, tenant, first.id)
    found = keys.find_key(db, tenant, "server")
    assert (found and found.id, found and found.is_active) == (first.id, False)
    second, _ = add(db, tenant, "server", DAY_0 - 1)
    found = keys.find_key(db, tenant, "server")
    assert (found and found.id, found and found.is_active) == (second.id, True)


def test_pages_hold_every_key_once_newest_first(db: Transaction) -> None:
    tenant = make_tenant(db)
    made = [add(db, tenant, f"key {number}", DAY_0 + number // 3)[0] for number in range(20)]
    make_key(db, make_tenant(db, "Bolt"))
    seen: list[KeyRow] = []
    after = None
    while page := key_rows.list_rows(db, tenant, revoked=False, after=after, limit=7):
        seen += page
        after = Place(page[-1].created_us, page[-1].id)
    assert seen == sorted(made, key=lambda key: (key.created_us, key.id), reverse=True)


HARM: dict[str, Callable[[Transaction, str, KeyRow], object]] = {
    "find": lambda db, tenant, row: key_rows.find_row(db, tenant, row.id),
    "name": lambda db, tenant, row: key_rows.find_live(db, tenant, row.name),
    "list": lambda db, tenant, row: key_rows.list_rows(db, tenant, revoked=True, after=None, limit=9) or None,
    "update": lambda db, tenant, row: key_rows.update_row(db, tenant, row._replace(name="stolen")),
    "replace": lambda db, tenant, row: key_rows.replace_text(db, tenant, row.id, "0" * 64, "cm_00000"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_key_of_another_tenant_is_neither_seen_nor_changed(db: Transaction, harm: str) -> None:
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    row, text = add(db, theirs, "main")
    before = db.all("SELECT * FROM api_keys")
    assert HARM[harm](db, mine, row) is None
    assert db.all("SELECT * FROM api_keys") == before
    assert read_key(db, text).key_id == row.id


@pytest.mark.parametrize("harm", ["update", "replace"])
def test_a_revoked_key_stays_as_it_is(db: Transaction, harm: str) -> None:
    tenant = make_tenant(db)
    row, _ = add(db, tenant, "main")
    keys.revoke_key(db, tenant, row.id)
    before = db.all("SELECT * FROM api_keys")
    HARM[harm](db, tenant, row)
    assert db.all("SELECT * FROM api_keys") == before
