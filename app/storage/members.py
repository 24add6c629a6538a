"""Members of an organisation: found by address to learn the tenant, everything after that within the tenant."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.core.identity import Role
from app.core.times import Place
from app.storage.database import Row, Transaction


class StoredMember(NamedTuple):
    """One row; a member who was invited and has not joined has no password and is not active."""

    id: str
    email: str
    full_name: str
    phone_number: str
    role: Role
    password_hash: str
    is_active: bool
    created_us: int
    updated_us: int

    @property
    def has_joined(self) -> bool:
        return self.password_hash != ""


class StoredTenant(NamedTuple):
    """What its members see of a tenant."""

    id: str
    name: str
    plan: str
    status: str
    created_us: int


_COLUMNS: Final = "id, email, full_name, phone_number, role, password_hash, is_active, created_at, updated_at"


def find_by_email(db: Transaction, email: str) -> tuple[str, StoredMember] | None:
    """(tenant, member): an address belongs to one tenant, as a credential does."""
    row = db.one(f"SELECT tenant_id, {_COLUMNS} FROM users WHERE email = ?", email)
    return None if row is None else (row[0], _member(row[1:]))


def find_member(db: Transaction, tenant_id: str, user_id: str) -> StoredMember | None:
    row = db.one(f"SELECT {_COLUMNS} FROM users WHERE tenant_id = ? AND id = ?", tenant_id, user_id)
    return None if row is None else _member(row)


def read_tenant(db: Transaction, tenant_id: str) -> StoredTenant:
    """Raises LookupError."""
    row = db.one("SELECT id, name, plan, status, created_at FROM tenants WHERE id = ?", tenant_id)
    if row is None:
        raise LookupError(tenant_id)
    return StoredTenant(*row)


def insert_tenant(db: Transaction, tenant_id: str, name: str, plan: str, at_us: int) -> bool:
    """Found an organisation; False when the name is another's, which this transaction may not even see."""
    sql = "INSERT INTO tenants (id, name, plan, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING"
    return db.run(sql, tenant_id, name, plan, at_us) > 0


def insert_member(db: Transaction, tenant_id: str, member: StoredMember) -> bool:
    """False when the address is taken, be it in another organisation, which this transaction may not even see."""
    sql = (
        f"INSERT INTO users (tenant_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (email) DO NOTHING"
    )
    values = (*member[:6], int(member.is_active), member.created_us, member.updated_us)
    return db.run(sql, tenant_id, *values) > 0


def update_member(db: Transaction, tenant_id: str, member: StoredMember) -> None:
    """Write everything of a member but the address."""
    db.do(
        "UPDATE users SET full_name = ?, phone_number = ?, role = ?, password_hash = ?, is_active = ?, updated_at = ? "
        "WHERE tenant_id = ? AND id = ?",
        *(member.full_name, member.phone_number, member.role, member.password_hash, int(member.is_active)),
        *(member.updated_us, tenant_id, member.id),
    )


def delete_member(db: Transaction, tenant_id: str, user_id: str) -> None:
    """Forget a member who has no sessions and no invitation any more; the address is free again."""
    db.do("DELETE FROM users WHERE tenant_id = ? AND id = ?", tenant_id, user_id)


def count_members(db: Transaction, tenant_id: str) -> int:
    """All of them: active, switched off, invited."""
    row = db.one("SELECT COUNT(*) FROM users WHERE tenant_id = ?", tenant_id)
    return 0 if row is None else int(row[0])


def list_members(db: Transaction, tenant_id: str, *, after: Place | None, limit: int) -> list[StoredMember]:
    """The next members after a place, newest first."""
    condition, place = ("", ()) if after is None else (" AND (created_at, id) < (?, ?)", after)
    rows = db.all(
        f"SELECT {_COLUMNS} FROM users WHERE tenant_id = ?{condition} ORDER BY created_at DESC, id DESC LIMIT ?",
        *(tenant_id, *place, limit),
    )
    return [_member(row) for row in rows]


def _member(row: Row) -> StoredMember:
    member = StoredMember(*row)
    return member._replace(is_active=bool(member.is_active), updated_us=max(member.updated_us, member.created_us))
