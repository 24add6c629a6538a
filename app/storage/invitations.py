"""Invitations: one for a member who has not joined yet, kept as its digest, gone when it is used."""

from __future__ import annotations

from typing import NamedTuple

from app.storage.database import Transaction


class StoredInvitation(NamedTuple):
    """Whom it lets in; times in microseconds."""

    id: str
    user_id: str
    created_us: int
    expires_us: int


def replace_invitation(db: Transaction, tenant_id: str, invitation: StoredInvitation, digest: str) -> None:
    """The member's one invitation from now on; an earlier one opens nothing any more."""
    withdraw(db, tenant_id, invitation.user_id)
    db.do(
        "INSERT INTO invitations (tenant_id, digest, id, user_id, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        *(tenant_id, digest, *invitation),
    )


def find_invited(db: Transaction, digest: str, at_us: int) -> tuple[str, str] | None:
    """(tenant, member) whom the token lets in; None when it is over or never was."""
    row = db.one("SELECT tenant_id, user_id FROM invitations WHERE digest = ? AND expires_at > ?", digest, at_us)
    return None if row is None else (row[0], row[1])


def use_invitation(db: Transaction, tenant_id: str, user_id: str, digest: str) -> bool:
    """Take it; False when somebody else did, or a newer one has replaced it."""
    sql = "DELETE FROM invitations WHERE tenant_id = ? AND user_id = ? AND digest = ?"
    return db.run(sql, tenant_id, user_id, digest) > 0


def withdraw(db: Transaction, tenant_id: str, user_id: str) -> None:
    """The member's invitation, if there is one, opens nothing any more."""
    db.do("DELETE FROM invitations WHERE tenant_id = ? AND user_id = ?", tenant_id, user_id)


def sweep(db: Transaction, at_us: int, limit: int) -> int:
    """Delete what is past its time; how many, at most `limit`."""
    return db.run(
        "DELETE FROM invitations WHERE digest IN "
        "(SELECT digest FROM invitations WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        *(at_us, limit),
    )
