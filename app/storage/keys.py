"""API keys: looked up by digest to learn the tenant, everything after that within the tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from app.core.errors import Problem
from app.core.identity import HINT_LENGTH, Principal, key_digest, new_key, new_uuid
from app.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What a key may do; spec.md section 16 names the fields. Comma-separated lists, `*` is everything."""

    name: str
    permissions: str = "*"
    scopes: str = ""
    allowed_models: str = "*"
    allowed_domains: str = "*"
    allowed_search_providers: str = "*"
    rpm: int | None = None
    budget_ucr: int | None = None
    expires_us: int | None = None


class StoredKey(NamedTuple):
    """A key as it is kept: its digest, not itself."""

    id: str
    digest: str
    is_active: bool
    created_us: int


def find_principal(db: Transaction, digest: str, at_us: int) -> Principal:
    """The one query that does not know its tenant: the digest tells it. Raises Problem for a key that may not pass."""
    row = db.one(
        "SELECT k.tenant_id, k.id, t.plan, k.version + t.version, k.rpm, k.budget, k.permissions, k.scopes, "
        "k.allowed_models, k.allowed_domains, k.allowed_search_providers, k.expires_at, k.is_active, t.status "
        "FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.digest = ?",
        digest,
    )
    if row is None or not row[12]:
        raise Problem("invalid_api_key", "Invalid API key")
    tenant_id, key_id, plan, version, rpm, budget, *lists, expires_us, _, status = row
    permissions, scopes, models, domains, searched = map(_split, lists)
    if expires_us is not None and expires_us <= at_us:
        raise Problem("api_key_expired", "This API key has expired. Create a new one in the dashboard.")
    if status != "active":
        raise Problem("account_inactive", "This account is suspended. Contact support.")
    return Principal(
        tenant_id=tenant_id,
        key_id=key_id,
        plan=plan,
        version=version,
        rpm=rpm,
        budget_ucr=budget,
        permissions=permissions,
        scopes=scopes,
        allowed_models=models,
        allowed_domains=domains,
        allowed_search_providers=searched,
        expires_us=expires_us,
    )


def create_key(db: Transaction, tenant_id: str, secret: bytes, settings: KeySettings, at_us: int) -> tuple[str, str]:
    """A new key; returns (id, key). The key itself is in no table and cannot be shown again."""
    key, key_id = new_key(), new_uuid(at_us)
    insert_key(db, tenant_id, key_id, secret, key, settings, at_us)
    return key_id, key


def insert_key(
    db: Transaction, tenant_id: str, key_id: str, secret: bytes, key: str, settings: KeySettings, at_us: int
) -> None:
    """Store a key that was made elsewhere, such as a demo key from a seed file."""
    db.do(
        "INSERT INTO api_keys (id, tenant_id, name, digest, hint, permissions, scopes, allowed_models, "
        "allowed_domains, rpm, budget, expires_at, created_at, allowed_search_providers) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(key_id, tenant_id, settings.name, key_digest(secret, key), key[:HINT_LENGTH], settings.permissions),
        *(settings.scopes, settings.allowed_models, settings.allowed_domains, settings.rpm, settings.budget_ucr),
        *(settings.expires_us, at_us, settings.allowed_search_providers),
    )


def update_key(db: Transaction, tenant_id: str, key_id: str, settings: KeySettings) -> bool:
    """Change what a key may do; its next call everywhere sees it. False when nothing changed."""
    values = (
        *(settings.permissions, settings.scopes, settings.allowed_models, settings.allowed_domains),
        *(settings.rpm, settings.budget_ucr, settings.expires_us, settings.allowed_search_providers),
    )
    columns = "permissions, scopes, allowed_models, allowed_domains, rpm, budget, expires_at, allowed_search_providers"
    if db.one(f"SELECT {columns} FROM api_keys WHERE tenant_id = ? AND id = ?", tenant_id, key_id) == values:
        return False
    changed = db.run(
        "UPDATE api_keys SET permissions = ?, scopes = ?, allowed_models = ?, allowed_domains = ?, rpm = ?, "
        "budget = ?, expires_at = ?, allowed_search_providers = ?, told_month = '', version = version + 1 "
        "WHERE tenant_id = ? AND id = ?",
        *(*values, tenant_id, key_id),
    )
    return changed == 1


def revoke_key(db: Transaction, tenant_id: str, key_id: str) -> bool:
    """Switch a key off for good; its next call fails in every process. False when the tenant has no such live key."""
    changed = db.run(
        "UPDATE api_keys SET is_active = 0, version = version + 1 WHERE tenant_id = ? AND id = ? AND is_active = 1",
        *(tenant_id, key_id),
    )
    return changed == 1


def find_key(db: Transaction, tenant_id: str, name: str) -> StoredKey | None:
    """The tenant's live key of this name, or the last one of it that was revoked."""
    row = db.one(
        "SELECT id, digest, is_active, created_at FROM api_keys WHERE tenant_id = ? AND name = ? "
        "ORDER BY is_active DESC, created_at DESC, id DESC LIMIT 1",
        *(tenant_id, name),
    )
    return None if row is None else StoredKey(row[0], row[1], bool(row[2]), row[3])


def knows_digest(db: Transaction, digest: str) -> bool:
    """Whether any tenant has this key, live or revoked: a key names its tenant, so it may exist once."""
    return db.one("SELECT 1 FROM api_keys WHERE digest = ?", digest) is not None


def _split(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())
