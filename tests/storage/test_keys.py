"""API keys in the database: found by digest, judged, changed, revoked; never stored themselves."""

from __future__ import annotations

import pytest

from app.core.errors import Problem
from app.core.identity import HINT_LENGTH, key_digest, new_key
from app.storage import keys, tenants
from app.storage.database import Transaction
from app.storage.keys import KeySettings
from tests.databases import BROKEN_RULE
from tests.storage.making import DAY_0, DAY_US, SECRET, make_key, make_tenant, read_key


def refusal(db: Transaction, key: str, at_us: int = DAY_0) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        read_key(db, key, at_us)
    return caught.value.status, caught.value.code


def test_a_key_is_read_with_everything_it_may_do(db: Transaction) -> None:
    tenant = make_tenant(db, plan="starter")
    key = make_key(
        db,
        tenant,
        permissions="llm, tts",
        scopes="credits:read",
        allowed_models="kimi-k2.5,kimi-k2.6",
        allowed_domains="https://a.example, b.example,",
        allowed_search_providers="exa,brave",
        rpm=7,
        budget_ucr=5,
        expires_us=DAY_0 + 1,
    )
    who = read_key(db, key)
    assert (who.tenant_id, who.plan, who.rpm, who.budget_ucr, who.expires_us) == (tenant, "starter", 7, 5, DAY_0 + 1)
    lists = (who.permissions, who.scopes, who.allowed_models, who.allowed_domains, who.allowed_search_providers)
    assert [sorted(each) for each in lists] == [
        ["llm", "tts"],
        ["credits:read"],
        ["kimi-k2.5", "kimi-k2.6"],
        ["b.example", "https://a.example"],
        ["brave", "exa"],
    ]


def test_a_key_that_was_never_made_is_invalid(db: Transaction) -> None:
    make_key(db, make_tenant(db))
    assert refusal(db, new_key()) == (401, "invalid_api_key")


def test_a_key_made_under_another_secret_is_invalid(db: Transaction) -> None:
    key = make_key(db, make_tenant(db))
    with pytest.raises(Problem, match="invalid_api_key"):
        keys.find_principal(db, key_digest(b"another secret", key), DAY_0)


def test_keys_that_differ_in_their_last_character_are_two_identities(db: Transaction) -> None:
    first = "cm_" + "a" * 39 + "x"
    second = first[:-1] + "y"
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    keys.insert_key(db, mine, "key_1", SECRET, first, KeySettings("a"), DAY_0)
    keys.insert_key(db, theirs, "key_2", SECRET, second, KeySettings("a"), DAY_0)
    assert [read_key(db, key).tenant_id for key in (first, second)] == [mine, theirs]


def test_a_key_expires_at_its_time_and_not_before(db: Transaction) -> None:
    key = make_key(db, make_tenant(db), expires_us=DAY_0 + DAY_US)
    assert read_key(db, key, DAY_0 + DAY_US - 1).expires_us == DAY_0 + DAY_US
    assert refusal(db, key, DAY_0 + DAY_US) == (401, "api_key_expired")


def test_a_revoked_key_is_invalid_and_cannot_be_revoked_again(db: Transaction) -> None:
    tenant = make_tenant(db)
    key = make_key(db, tenant)
    key_id = read_key(db, key).key_id
    assert keys.revoke_key(db, tenant, key_id)
    assert refusal(db, key) == (401, "invalid_api_key")
    assert not keys.revoke_key(db, tenant, key_id)


def test_a_suspended_account_is_told_so(db: Transaction) -> None:
    key = make_key(db, make_tenant(db))
    db.run("UPDATE tenants SET status = 'suspended', version = version + 1")
    assert refusal(db, key) == (403, "account_inactive")


def test_a_key_of_another_tenant_is_neither_changed_nor_revoked_nor_found(db: Transaction) -> None:
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    key = make_key(db, theirs, "main")
    before = read_key(db, key)
    assert not keys.revoke_key(db, mine, before.key_id)
    assert not keys.update_key(db, mine, before.key_id, KeySettings("main", permissions=""))
    assert keys.find_key(db, mine, "main") is None
    assert read_key(db, key) == before


def test_a_change_raises_the_version_and_no_change_does_not(db: Transaction) -> None:
    tenant = make_tenant(db)
    key = make_key(db, tenant, rpm=7)
    before = read_key(db, key)
    assert not keys.update_key(db, tenant, before.key_id, KeySettings("main", rpm=7))
    assert read_key(db, key) == before
    assert keys.update_key(db, tenant, before.key_id, KeySettings("main", rpm=8, budget_ucr=1))
    after = read_key(db, key)
    assert (after.rpm, after.budget_ucr, after.version) == (8, 1, before.version + 1)


def test_a_change_of_plan_raises_the_version_of_every_key(db: Transaction) -> None:
    tenant = make_tenant(db, plan="free")
    made = [make_key(db, tenant, name) for name in ("one", "two")]
    before = [read_key(db, key).version for key in made]
    tenants.upsert_tenant(db, "Acme", "pro", None, DAY_0)
    assert [read_key(db, key).version for key in made] == [version + 1 for version in before]
    assert {read_key(db, key).plan for key in made} == {"pro"}


def test_the_key_itself_is_nowhere_in_the_database(db: Transaction) -> None:
    key = make_key(db, make_tenant(db))
    row = db.one("SELECT * FROM api_keys")
    assert row is not None
    text = " ".join(map(str, row))
    assert key not in text
    assert key[: HINT_LENGTH + 1] not in text
    assert key[:HINT_LENGTH] in text


def test_a_name_is_used_once_per_tenant(db: Transaction) -> None:
    mine, theirs = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    make_key(db, mine, "main")
    make_key(db, theirs, "main")
    assert keys.find_key(db, mine, "main") != keys.find_key(db, theirs, "main")
    with pytest.raises(BROKEN_RULE):
        make_key(db, mine, "main")


def test_a_key_is_found_by_name_live_or_revoked_and_by_digest_in_any_tenant(db: Transaction) -> None:
    tenant = make_tenant(db)
    key = make_key(db, tenant, "main")
    digest = key_digest(SECRET, key)
    found = keys.find_key(db, tenant, "main")
    assert found is not None
    assert (found.digest, found.is_active) == (digest, True)
    keys.revoke_key(db, tenant, found.id)
    gone = keys.find_key(db, tenant, "main")
    assert gone is not None
    assert not gone.is_active
    assert keys.knows_digest(db, digest)
    assert not keys.knows_digest(db, key_digest(b"another secret", key))
