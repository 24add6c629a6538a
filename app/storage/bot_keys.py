"""What a bot spends by: a key of its own that no text opens, so that one meter knows who spends, for bots as for keys.

Its id is the bot's, so usage by key is usage by bot; lists of keys leave it out.
"""

from __future__ import annotations

from app.core.errors import Problem
from app.core.identity import Principal
from app.storage.database import Transaction


def bot_principal(db: Transaction, tenant_id: str, bot_id: str, at_us: int) -> Principal:
    """Who spends for this bot; made at its first turn. Raises Problem for a tenant that may not spend."""
    made = (
        "INSERT INTO api_keys (id, tenant_id, name, digest, hint, permissions, kind, created_at) "
        "VALUES (?, ?, ?, ?, '', '', 'bot', ?) ON CONFLICT (id) DO NOTHING"
    )
    db.do(made, bot_id, tenant_id, f"bot:{bot_id}", f"bot:{bot_id}", at_us)
    principal = find_principal(db, tenant_id, bot_id)
    if principal is None:
        raise LookupError(bot_id)
    return principal


def find_principal(db: Transaction, tenant_id: str, bot_id: str) -> Principal | None:
    """None before its first turn. Raises Problem for a tenant that may not spend."""
    row = db.one(
        "SELECT t.plan, k.version + t.version, t.status FROM api_keys k JOIN tenants t ON t.id = k.tenant_id "
        "WHERE k.tenant_id = ? AND k.id = ? AND k.kind = 'bot'",
        *(tenant_id, bot_id),
    )
    if row is None:
        return None
    if row[2] != "active":
        raise Problem("account_inactive", "This account is suspended. Contact support.")
    return Principal(tenant_id, bot_id, plan=row[0], version=row[1])
