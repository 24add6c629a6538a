"""The role that the gateway is to PostgreSQL: the second wall between tenants binds any but a superuser."""

from __future__ import annotations

from app.storage.database import Transaction


def unbound_role(db: Transaction) -> str | None:
    """The role we work as, when row-level security does not bind it; None when it does, or on SQLite, which has none.

    (PostgreSQL's documentation, "Row Security Policies": superusers and roles with BYPASSRLS always bypass it.)
    """
    if db.engine != "postgresql":
        return None
    row = db.one("SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)")
    return None if row is None else str(row[0])
