"""Tells webhooks of the first call of a month that a budget has refused: its admission has written nothing."""

from __future__ import annotations

from contextlib import suppress

from app.core.errors import Problem
from app.storage import alerting
from app.storage.database import Database


async def tell_budget_refusal(db: Database, tenant_id: str, key_id: str, hold_ucr: int, at_us: int) -> None:
    """Costs one look where it has been told before. Without a database the next refusal tells it."""
    with suppress(Problem):
        if await db.read(tenant_id, lambda t: alerting.is_untold(t, tenant_id, key_id, hold_ucr, at_us)):
            await db.write(tenant_id, lambda t: alerting.tell_refusal(t, tenant_id, key_id, hold_ucr, at_us))
