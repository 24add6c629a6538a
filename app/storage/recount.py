"""The sums by day made anew from the calls and the lines of the ledger that they are the sums of.

A gateway of an older version, which goes on for a while on a database of this one (docs/deployment.md), keeps no sums
and gives its lines no type.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.core.credits import entry_type
from app.storage import tenants
from app.storage.database import EVERY_TENANT, Database, Transaction

PAGE: Final = 200
PATIENCE_S: Final = 3600.0

_LINES: Final = """
    INSERT INTO ledger_days (tenant_id, day, type, entries, amount)
    SELECT tenant_id, created_at / 86400000000, type, COUNT(*), SUM(amount) FROM ledger_entries WHERE tenant_id = ?
    GROUP BY tenant_id, created_at / 86400000000, type
    ON CONFLICT (tenant_id, day, type) DO UPDATE SET entries = excluded.entries, amount = excluded.amount
    WHERE (ledger_days.entries, ledger_days.amount) <> (excluded.entries, excluded.amount)"""
_CALLS: Final = """
    INSERT INTO usage_days (tenant_id, day, key_id, category, model, completed, cancelled, failed, interrupted, charge,
        uncollected, input_tokens, output_tokens, audio_ms, latency_us)
    SELECT tenant_id, opened_at / 86400000000, key_id, category, model,
        SUM(CASE WHEN outcome = 'completed' THEN 1 ELSE 0 END), SUM(CASE WHEN outcome = 'cancelled' THEN 1 ELSE 0 END),
        SUM(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END), SUM(CASE WHEN outcome = 'interrupted' THEN 1 ELSE 0 END),
        SUM(charge), SUM(uncollected),
        SUM(COALESCE(input_tokens, 0)), SUM(COALESCE(output_tokens, 0)), SUM(COALESCE(audio_ms, 0)),
        SUM(CASE WHEN outcome <> 'interrupted' AND ended_at > opened_at THEN ended_at - opened_at ELSE 0 END)
    FROM calls WHERE tenant_id = ? AND state <> 'held'
    GROUP BY tenant_id, opened_at / 86400000000, key_id, category, model
    ON CONFLICT (tenant_id, day, key_id, category, model) DO UPDATE SET
        completed = excluded.completed, cancelled = excluded.cancelled, failed = excluded.failed,
        interrupted = excluded.interrupted, charge = excluded.charge, uncollected = excluded.uncollected,
        input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, audio_ms = excluded.audio_ms,
        latency_us = excluded.latency_us
    WHERE (usage_days.completed, usage_days.cancelled, usage_days.failed, usage_days.interrupted, usage_days.charge,
        usage_days.uncollected, usage_days.input_tokens, usage_days.output_tokens, usage_days.audio_ms,
        usage_days.latency_us) <> (excluded.completed, excluded.cancelled, excluded.failed, excluded.interrupted,
        excluded.charge, excluded.uncollected, excluded.input_tokens, excluded.output_tokens, excluded.audio_ms,
        excluded.latency_us)"""


def recount(db: Transaction, tenant_id: str) -> int:
    """Set right what is wrong; how many sums were. Goes through all calls of the tenant, who waits meanwhile."""
    untyped = "SELECT id, kind, ref FROM ledger_entries WHERE tenant_id = ? AND type = 'deduction' AND kind <> 'charge'"
    for entry_id, kind, ref in db.all(untyped, tenant_id):
        sql = "UPDATE ledger_entries SET type = ? WHERE tenant_id = ? AND id = ?"
        db.do(sql, entry_type(kind, ref), tenant_id, entry_id)
    return db.run(_LINES, tenant_id) + db.run(_CALLS, tenant_id)


async def recount_all(database: Database) -> int:
    """`recount` for one tenant after the other; how many sums were wrong. Raises Problem `storage_unavailable`."""
    count, after = 0, ""
    while page := await database.read(EVERY_TENANT, partial(tenants.tenant_ids, after=after, limit=PAGE)):
        for tenant_id in page:
            count += await database.write(tenant_id, partial(recount, tenant_id=tenant_id), patience_s=PATIENCE_S)
        after = page[-1]
    return count
