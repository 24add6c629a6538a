"""Keys that have expired without their organisation having been told: each expiry is told of once."""

from __future__ import annotations

from typing import NamedTuple

from app.storage.database import Transaction


class ExpiredKey(NamedTuple):
    """`hint` is how the key begins."""

    id: str
    name: str
    hint: str
    expires_us: int


def untold(db: Transaction, at_us: int, limit: int) -> list[tuple[str, str]]:
    """(tenant, key) of live keys, whose ever they are, that have expired and that nobody was told of."""
    rows = db.all(
        "SELECT tenant_id, id FROM api_keys WHERE expires_at <> told_expiry AND is_active = 1 AND expires_at <= ? "
        "ORDER BY expires_at LIMIT ?",
        *(at_us, limit),
    )
    return [(tenant_id, key_id) for tenant_id, key_id in rows]


def tell(db: Transaction, tenant_id: str, key_id: str, at_us: int) -> ExpiredKey | None:
    """Note that it is told of now; None when it was already, or has not expired any more."""
    row = db.one(
        "UPDATE api_keys SET told_expiry = expires_at WHERE tenant_id = ? AND id = ? AND is_active = 1 "
        "AND expires_at <> told_expiry AND expires_at <= ? RETURNING id, name, hint, expires_at",
        *(tenant_id, key_id, at_us),
    )
    return None if row is None else ExpiredKey(*row)
