"""The gateway's books for a test: a database with a tenant, and the checks that must hold after anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.core.ledger import Limits
from app.core.limits import Rate
from app.storage import ledger
from app.storage.database import EVERY_TENANT, Database, Engine, Transaction, open_database
from app.storage.engines import open_engine
from app.storage.migrations import migrate

PLENTY = Limits(Rate(1_000_000), concurrency=1_000_000)

#: The sums of calls by day, as they were kept with each ending, and as the calls themselves say.
DAYS_COUNTED = """
    SELECT tenant_id, day, key_id, category, model, completed, cancelled, failed, interrupted, charge, uncollected,
    input_tokens, output_tokens, audio_ms, latency_us FROM usage_days"""
DAYS_ADDED_UP = """
    SELECT tenant_id, opened_at / 86400000000, key_id, category, model,
    COUNT(CASE WHEN outcome = 'completed' THEN 1 END), COUNT(CASE WHEN outcome = 'cancelled' THEN 1 END),
    COUNT(CASE WHEN outcome = 'failed' THEN 1 END), COUNT(CASE WHEN outcome = 'interrupted' THEN 1 END),
    SUM(charge), SUM(uncollected),
    COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0), COALESCE(SUM(audio_ms), 0),
    SUM(CASE WHEN outcome <> 'interrupted' AND ended_at > opened_at THEN ended_at - opened_at ELSE 0 END)
    FROM calls WHERE state <> 'held' GROUP BY tenant_id, opened_at / 86400000000, key_id, category, model"""
#: The sums of lines of the ledger by day, both ways.
LINES_COUNTED = "SELECT tenant_id, day, type, entries, amount FROM ledger_days"
LINES_ADDED_UP = """
    SELECT tenant_id, created_at / 86400000000, type, COUNT(*), SUM(amount) FROM ledger_entries
    GROUP BY tenant_id, created_at / 86400000000, type"""
#: What `ledger.INVARIANTS` leaves to the tables themselves: each query returns what is wrong.
MORE_INVARIANTS = {
    "a call without a proper end": """
        SELECT id FROM calls WHERE (state = 'held') <> (ended_at IS NULL) OR (state = 'held') <> (outcome IS NULL)
        OR (state = 'held') <> (rule IS NULL)""",
    "a charge of a call that was not posted": "SELECT id FROM calls WHERE state <> 'posted' AND charge <> 0",
    "a charge without a call": """
        SELECT ref FROM ledger_entries e WHERE kind = 'charge'
        AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.tenant_id = e.tenant_id AND c.id = e.ref)""",
    "two charges for one call": """
        SELECT ref FROM ledger_entries WHERE kind = 'charge' GROUP BY tenant_id, ref HAVING COUNT(*) > 1""",
    "a month that counts other calls than there are": """
        SELECT m.tenant_id, m.month FROM month_calls m WHERE m.open <> (SELECT COUNT(*) FROM calls c WHERE
            c.tenant_id = m.tenant_id AND c.month = m.month AND c.category = m.category AND c.state = 'held')
        OR m.ended <> (SELECT COUNT(*) FROM calls c WHERE c.tenant_id = m.tenant_id AND c.month = m.month
            AND c.category = m.category AND c.outcome = 'completed')""",
    "a day whose sums are not those of its lines": f"""
        SELECT tenant_id, day, type FROM ({LINES_COUNTED} UNION ALL {LINES_ADDED_UP}) AS both_ways
        GROUP BY tenant_id, day, type, entries, amount HAVING COUNT(*) <> 2""",  # noqa: S608 - the two statements above
    "a day whose sums are not those of its calls": f"""
        SELECT tenant_id, day, key_id, category, model FROM ({DAYS_COUNTED} UNION ALL {DAYS_ADDED_UP}) AS both_ways
        GROUP BY tenant_id, day, key_id, category, model, completed, cancelled, failed, interrupted, charge,
        uncollected, input_tokens, output_tokens, audio_ms, latency_us HAVING COUNT(*) <> 2""",  # noqa: S608 - the two statements above
}


def faults(db: Transaction) -> dict[str, list[Any]]:
    """Everything that is wrong with the books; empty when they balance."""
    found: dict[str, list[Any]] = {name: db.all(sql) for name, sql in MORE_INVARIANTS.items()}
    found["a tenant whose sums do not agree"] = ledger.broken_tenants(db)
    return {name: rows for name, rows in found.items() if rows}


def open_holds(db: Transaction) -> int:
    row = db.one("SELECT COUNT(*) FROM calls WHERE state = 'held'")
    return int(row[0]) if row else 0


def only_call(db: Transaction, *columns: str) -> tuple[Any, ...]:
    """These columns of the one call there is."""
    (row,) = db.all(f"SELECT {', '.join(columns)} FROM calls")  # noqa: S608 - names from the test
    return row


@asynccontextmanager
async def open_books(
    url: str, *, deadline_s: float = 5.0, wrap: Callable[[Engine], Engine] = lambda engine: engine
) -> AsyncIterator[Database]:
    """A migrated database; at the end the books must balance. `wrap` may put something before its engine."""
    engine = wrap(await open_engine(url, synchronous="NORMAL", deadline_s=deadline_s))
    async with open_database(engine, deadline_s=deadline_s) as db:
        await migrate(db)
        yield db
        assert await db.read(EVERY_TENANT, faults) == {}
