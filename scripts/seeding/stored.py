"""What a database knows already of the things that a seed is about to write."""

from __future__ import annotations

from typing import NamedTuple

from app.storage.database import Transaction


class StoredKey(NamedTuple):
    """A key as it is kept: its digest, not itself."""

    id: str
    digest: str
    is_active: bool
    created_us: int


def find_key(db: Transaction, tenant_id: str, name: str) -> StoredKey | None:
    row = db.one(
        "SELECT id, digest, is_active, created_at FROM api_keys WHERE tenant_id = ? AND name = ?", tenant_id, name
    )
    return None if row is None else StoredKey(row[0], row[1], bool(row[2]), row[3])


def knows_digest(db: Transaction, digest: str) -> bool:
    """Whether any tenant has this key, live or revoked."""
    return db.one("SELECT 1 FROM api_keys WHERE digest = ?", digest) is not None


def knows_email(db: Transaction, email: str) -> bool:
    """Whether any tenant has this member."""
    return db.one("SELECT 1 FROM users WHERE email = ?", email) is not None


def find_owner(db: Transaction, tenant_id: str) -> str | None:
    """The address of the tenant's one owner."""
    row = db.one("SELECT email FROM users WHERE tenant_id = ? AND role = 'owner'", tenant_id)
    return None if row is None else str(row[0])


def find_tenant(db: Transaction, name: str) -> str | None:
    """The id of the tenant of this name."""
    row = db.one("SELECT id FROM tenants WHERE name = ?", name)
    return None if row is None else str(row[0])
