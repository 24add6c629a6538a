"""Sessions of members: looked up by digest to learn the tenant, everything after that within the tenant."""

from __future__ import annotations

from typing import NamedTuple

from app.core.errors import Problem
from app.core.identity import Visitor
from app.storage.database import Transaction


class StoredSession(NamedTuple):
    """One session as its member sees it; times in microseconds."""

    id: str
    user_id: str
    client: str
    address: str
    created_us: int
    seen_us: int
    expires_us: int


def find_visitor(db: Transaction, digest: str, at_us: int) -> tuple[Visitor, int]:
    """Who the session belongs to, and when it was last seen; the digest tells the tenant.

    Raises Problem: `token_expired` for a session that is over or never was, `account_inactive`.
    """
    row = db.one(
        "SELECT s.tenant_id, s.user_id, s.id, u.role, u.is_active, t.status, s.expires_at, s.seen_at "
        "FROM sessions s JOIN users u ON u.id = s.user_id AND u.tenant_id = s.tenant_id "
        "JOIN tenants t ON t.id = s.tenant_id WHERE s.digest = ?",
        digest,
    )
    if row is None or row[6] <= at_us:
        raise Problem("token_expired", "This session is over. Log in again.")
    tenant_id, user_id, session_id, role, is_active, status, _, seen_us = row
    if not is_active or status != "active":
        raise Problem("account_inactive", "This account is suspended. Contact support.")
    return Visitor(tenant_id, user_id, session_id, role), seen_us


def open_session(db: Transaction, tenant_id: str, session: StoredSession, digest: str) -> None:
    """A new session of a member; `digest` stands for its token."""
    db.do(
        "INSERT INTO sessions (tenant_id, digest, id, user_id, client, address, created_at, seen_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, digest, *session),
    )


def prolong(db: Transaction, tenant_id: str, session_id: str, seen_us: int, expires_us: int) -> None:
    """The session was used: it lives on from now."""
    db.do(
        "UPDATE sessions SET seen_at = ?, expires_at = ? WHERE tenant_id = ? AND id = ?",
        *(seen_us, expires_us, tenant_id, session_id),
    )


def list_sessions(db: Transaction, tenant_id: str, user_id: str, at_us: int) -> list[StoredSession]:
    """The member's live sessions, newest first."""
    rows = db.all(
        "SELECT id, user_id, client, address, created_at, seen_at, expires_at FROM sessions "
        "WHERE tenant_id = ? AND user_id = ? AND expires_at > ? ORDER BY created_at DESC, id DESC",
        *(tenant_id, user_id, at_us),
    )
    return [StoredSession(*row) for row in rows]


def close_session(db: Transaction, tenant_id: str, user_id: str, session_id: str) -> bool:
    """End one session of the member; False when there is none of this id."""
    sql = "DELETE FROM sessions WHERE tenant_id = ? AND user_id = ? AND id = ?"
    return db.run(sql, tenant_id, user_id, session_id) > 0


def close_sessions(db: Transaction, tenant_id: str, user_id: str, but: str = "") -> int:
    """End the member's sessions, all of them or all but one; how many."""
    return db.run("DELETE FROM sessions WHERE tenant_id = ? AND user_id = ? AND id <> ?", tenant_id, user_id, but)


def find_session(db: Transaction, digest: str) -> tuple[str, str, str] | None:
    """(tenant, member, id) of a session, be it over or not; the digest tells the tenant."""
    row = db.one("SELECT tenant_id, user_id, id FROM sessions WHERE digest = ?", digest)
    return None if row is None else (row[0], row[1], row[2])


def close_oldest(db: Transaction, tenant_id: str, user_id: str, most: int) -> None:
    """End the member's oldest sessions, so that no more than `most` are left."""
    db.do(
        "DELETE FROM sessions WHERE tenant_id = ? AND user_id = ? AND id NOT IN (SELECT id FROM sessions "
        "WHERE tenant_id = ? AND user_id = ? ORDER BY created_at DESC, id DESC LIMIT ?)",
        *(tenant_id, user_id, tenant_id, user_id, most),
    )


def sweep(db: Transaction, at_us: int, limit: int) -> int:
    """Delete what is over; how many, at most `limit`."""
    return db.run(
        "DELETE FROM sessions WHERE digest IN "
        "(SELECT digest FROM sessions WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        *(at_us, limit),
    )
