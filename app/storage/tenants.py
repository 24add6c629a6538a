"""Organisations and their members: rows that seeds and the platform API write, and hardly any call reads."""

from __future__ import annotations

from app.core.identity import new_uuid
from app.storage.database import Transaction


def upsert_tenant(db: Transaction, name: str, plan: str, budget: int | None, at_us: int) -> tuple[str, str]:
    """Find or make the tenant of that name; returns (id, "created" | "changed" | "unchanged")."""
    row = db.one("SELECT id, plan, budget FROM tenants WHERE name = ?", name)
    if row is None:
        tenant_id = new_uuid(at_us)
        db.do(
            "INSERT INTO tenants (id, name, plan, budget, created_at) VALUES (?, ?, ?, ?, ?)",
            *(tenant_id, name, plan, budget, at_us),
        )
        return tenant_id, "created"
    if (row[1], row[2]) == (plan, budget):
        return row[0], "unchanged"
    db.do("UPDATE tenants SET plan = ?, budget = ?, version = version + 1 WHERE id = ?", plan, budget, row[0])
    return row[0], "changed"


def upsert_member(
    db: Transaction, tenant_id: str, email: str, full_name: str, role: str, password_hash: str, at_us: int
) -> str:
    """Add a member or update name and role, never a password. Raises ValueError for an address taken elsewhere."""
    row = db.one("SELECT id, tenant_id, full_name, role FROM users WHERE email = ?", email)
    if row is None:
        db.do(
            "INSERT INTO users (id, tenant_id, email, full_name, role, password_hash, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(new_uuid(at_us), tenant_id, email, full_name, role, password_hash, at_us),
        )
        return "created"
    if row[1] != tenant_id:
        raise ValueError(f"{email} is a member of another organisation")
    if (row[2], row[3]) == (full_name, role):
        return "unchanged"
    db.do("UPDATE users SET full_name = ?, role = ? WHERE tenant_id = ? AND id = ?", full_name, role, tenant_id, row[0])
    return "changed"


def knows_email(db: Transaction, email: str) -> bool:
    """Whether any tenant has this member: an address belongs to one tenant."""
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
    db.do("UPDATE users SET password_hash = ? WHERE tenant_id = ? AND email = ?", password_hash, tenant_id, email)


def tenant_ids(db: Transaction, *, after: str, limit: int) -> list[str]:
    """The next tenants by id, "" being before the first."""
    return [row[0] for row in db.all("SELECT id FROM tenants WHERE id > ? ORDER BY id LIMIT ?", after, limit)]
