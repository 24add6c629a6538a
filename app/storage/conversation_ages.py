"""How long conversations live, and how many began: which are idle, and the how manieth of its month one is."""

from __future__ import annotations

from typing import NamedTuple

from app.core.times import Place
from app.storage.database import Transaction


class Quiet(NamedTuple):
    """A conversation in which nothing was said for a while, with its bot's configuration (JSON)."""

    tenant_id: str
    id: str
    updated_us: int
    config: str


def quiet(db: Transaction, before_us: int, after: Place | None, limit: int) -> list[Quiet]:
    """The next active conversations of channels in which nothing was said since then, whose ever they are."""
    place = (-1, "") if after is None else after
    rows = db.all(
        "SELECT c.tenant_id, c.id, c.updated_at, b.config FROM ("
        "SELECT tenant_id, id, bot_id, updated_at FROM conversations "
        "WHERE contact_id <> '' AND status = 'active' AND updated_at <= ? AND updated_at >= ? "
        "AND (updated_at, id) > (?, ?) ORDER BY updated_at, id LIMIT ?) c "
        "JOIN bots b ON b.tenant_id = c.tenant_id AND b.id = c.bot_id ORDER BY c.updated_at, c.id",
        *(before_us, place[0], *place, limit),
    )
    return [Quiet(*row) for row in rows]


def begun_besides(
    db: Transaction, tenant_id: str, conversation_id: str, since_us: int, until_us: int, limit: int
) -> int:
    """How many of the tenant's other conversations began in that time; counts no further than `limit`."""
    rows = db.all(
        "SELECT 1 FROM conversations WHERE tenant_id = ? AND created_at >= ? AND created_at <= ? AND id <> ? LIMIT ?",
        *(tenant_id, since_us, until_us, conversation_id, limit),
    )
    return len(rows)


def newest_open(db: Transaction, tenant_id: str, contact_id: str) -> str | None:
    """The contact's conversation that began last among those that go on."""
    row = db.one(
        "SELECT id FROM conversations WHERE tenant_id = ? AND contact_id = ? AND contact_id <> '' "
        "AND status IN ('active', 'escalated') ORDER BY created_at DESC LIMIT 1",
        *(tenant_id, contact_id),
    )
    return None if row is None else str(row[0])


def has_open(db: Transaction, tenant_id: str, conversation_id: str) -> bool:
    """Whether something in it still waits for an answer."""
    sql = "SELECT 1 FROM messages WHERE tenant_id = ? AND conversation_id = ? AND disposition = 'open' LIMIT 1"
    return db.one(sql, tenant_id, conversation_id) is not None


def plan_of(db: Transaction, tenant_id: str) -> str:
    """The id of the plan that the tenant is on."""
    row = db.one("SELECT plan FROM tenants WHERE id = ?", tenant_id)
    return "" if row is None else str(row[0])
