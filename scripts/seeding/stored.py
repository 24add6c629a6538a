"""The few statements that only seeding needs: what the database knows already, and a password set anew."""

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


def set_password(db: Transaction, tenant_id: str, email: str, password_hash: str) -> None:
    """For a password that nobody knows any more."""
    db.run("UPDATE users SET password_hash = ? WHERE tenant_id = ? AND email = ?", password_hash, tenant_id, email)
