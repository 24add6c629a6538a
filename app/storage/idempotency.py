"""Idempotency keys: one row each, from the first request with a key until 24 hours later.

A tenant's writes take turns, so what is read here holds until the transaction that decides by it has ended. How a
request that spends came to its end is said by its call's own final row: nothing has to be marked here when a call is
cut off, fails or expires with its process.
"""

from __future__ import annotations

from typing import Final

from app.core.idempotency import KEEP_US, LEASE_US, Claim, Known, in_progress, judge
from app.core.identity import Principal
from app.storage.database import Transaction
from app.storage.ledger import StaleKey

_KNOWN: Final = """
    SELECT i.fingerprint, i.lease_until, i.expires_at, i.status, i.reply <> '', COALESCE(i.call_id, ''),
           COALESCE(c.state, ''), COALESCE(c.charge, 0)
    FROM idempotency_keys i LEFT JOIN calls c ON c.tenant_id = i.tenant_id AND c.id = i.call_id
    WHERE i.tenant_id = ? AND i.digest = ?"""
_TAKE: Final = """
    INSERT INTO idempotency_keys (tenant_id, digest, fingerprint, token, lease_until, expires_at)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, digest) DO UPDATE SET fingerprint = excluded.fingerprint,
    token = excluded.token, lease_until = excluded.lease_until, expires_at = excluded.expires_at,
    call_id = NULL, status = 0, reply = ''"""
#: The claim of this very try, without an answer yet.
_MINE: Final = "tenant_id = ? AND digest = ? AND token = ? AND status = 0"
#: Whose call, if it has made one, is over and was free.
_UNSPENT: Final = """(call_id IS NULL OR EXISTS (SELECT 1 FROM calls c WHERE c.tenant_id = idempotency_keys.tenant_id
    AND c.id = idempotency_keys.call_id AND c.state <> 'held' AND c.charge = 0))"""


def claim(db: Transaction, tenant_id: str, claim: Claim, at_us: int) -> tuple[int, str] | None:
    """Take the key for this request, or give status and reply of the first one. Raises Problem 409."""
    row = db.one(_KNOWN, tenant_id, claim.key)
    if judge(None if row is None else Known(*row), claim, at_us) == "replay":
        return _reply(db, tenant_id, claim.key)
    lease_us, expires_us = at_us + LEASE_US, at_us + KEEP_US
    db.do(_TAKE, tenant_id, claim.key, claim.fingerprint, claim.token, lease_us, expires_us)
    return None


def check_key(db: Transaction, tenant_id: str, principal: Principal) -> None:
    """What admission does for a call, for an answer that needs none. Raises StaleKey for a key that has changed."""
    row = db.one(
        "SELECT k.version + t.version, k.is_active, t.status FROM api_keys k JOIN tenants t ON t.id = k.tenant_id "
        "WHERE k.tenant_id = ? AND k.id = ?",
        *(tenant_id, principal.key_id),
    )
    if row is None or row[0] != principal.version or not row[1] or row[2] != "active":
        raise StaleKey


def bind(db: Transaction, tenant_id: str, claim: Claim, call_id: str) -> None:
    """Tie the claim to the call that is being admitted. Raises Problem 409 when the key is another request's by now."""
    bound = db.run(
        f"UPDATE idempotency_keys SET call_id = ? WHERE {_MINE} AND {_UNSPENT}",
        *(call_id, tenant_id, claim.key, claim.token),
    )
    if not bound:
        raise in_progress()


def keep_charged(db: Transaction, tenant_id: str, claim: Claim, status: int, reply: str) -> None:
    """Keep an answer in the transaction that ends its call; `reply` is "" for one that is too large."""
    db.do(
        f"UPDATE idempotency_keys SET status = ?, reply = ? WHERE {_MINE}",
        *(status, reply, tenant_id, claim.key, claim.token),
    )


def keep_free(db: Transaction, tenant_id: str, claim: Claim, status: int, reply: str) -> None:
    """Keep an answer that nothing was charged for; never in place of the one that was."""
    db.do(
        f"UPDATE idempotency_keys SET status = ?, reply = ? WHERE {_MINE} AND {_UNSPENT}",
        *(status, reply, tenant_id, claim.key, claim.token),
    )


def release(db: Transaction, tenant_id: str, claim: Claim) -> None:
    """Forget a claim that came to nothing; a call that it made tells by itself that the key is free."""
    db.do(
        f"DELETE FROM idempotency_keys WHERE {_MINE} AND call_id IS NULL",
        *(tenant_id, claim.key, claim.token),
    )


def sweep(db: Transaction, at_us: int, limit: int) -> int:
    """Delete what is past its time; how many, at most `limit`."""
    return db.run(
        "DELETE FROM idempotency_keys WHERE (tenant_id, digest) IN (SELECT tenant_id, digest FROM idempotency_keys "
        "WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        *(at_us, limit),
    )


def _reply(db: Transaction, tenant_id: str, digest: str) -> tuple[int, str]:
    sql = "SELECT status, reply FROM idempotency_keys WHERE tenant_id = ? AND digest = ?"
    ((status, reply),) = db.all(sql, tenant_id, digest)
    return status, reply
