"""How often somebody who is nobody yet may try: a number per bucket, exact over all processes.

Its rows belong to no tenant. Jobs on them take turns as those of a tenant do, in the scope `THROTTLES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.core import limits
from app.core.limits import Rate
from app.storage.database import Transaction

#: No tenant's id, so a job in this scope sees no tenant's rows.
THROTTLES: Final = "throttles"


def take(db: Transaction, buckets: Mapping[str, Rate], at_us: int) -> int:
    """Take one try from every bucket, or none from any: how long to wait in microseconds, 0 when it was taken."""
    states = {}
    for bucket, rate in buckets.items():
        row = db.one("SELECT tat FROM throttles WHERE bucket = ?", bucket)
        states[bucket] = limits.take(rate, row[0] if row else 0, at_us)
    wait_us = max((state.retry_after_us for state in states.values()), default=0)
    if wait_us:
        return wait_us
    for bucket, state in states.items():
        db.do(
            "INSERT INTO throttles (bucket, tat) VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET tat = excluded.tat",
            *(bucket, state.tat_us),
        )
    return 0


def sweep(db: Transaction, at_us: int) -> int:
    """Delete the buckets that are full again, which is what a missing one is; how many."""
    return db.run("DELETE FROM throttles WHERE tat < ?", at_us)
