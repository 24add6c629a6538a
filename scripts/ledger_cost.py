"""What a call's two writes cost a process that does nothing else: `python -m scripts.ledger_cost --help`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from app.config import Settings
from app.core.identity import Principal, key_digest, new_id, now_us
from app.core.ledger import Limits
from app.core.limits import Rate
from app.main import open_storage
from app.storage import keys, ledger, tenants
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.keys import KeySettings
from app.storage.ledger import Closing, Opening

SECRET: Final = b"not a secret: this database is thrown away"
PLENTY: Final = Limits(Rate(1_000_000_000), concurrency=1_000_000)
CREDITS_UCR: Final = 10**15
HOLD_UCR: Final = 4000
COST_UCR: Final = 1000
#: As long as a short answer's receipt.
RECEIPT: Final = json.dumps({"note": "x" * 600})


@dataclass(slots=True)
class Tally:
    calls: int = 0
    began_cpu: float = field(default_factory=time.process_time)
    began: float = field(default_factory=time.perf_counter)

    def document(self, db: Database) -> dict[str, float]:
        """Microseconds of processor time and of commits for each call, and how the writes were batched."""
        cpu_s, took_s = time.process_time() - self.began_cpu, time.perf_counter() - self.began
        batches = sum(db.stats.batch_jobs.counts)
        return {
            "calls": self.calls,
            "calls_per_s": self.calls / took_s,
            "cpu_us": cpu_s / self.calls * 1e6,
            "commit_us": db.stats.commit_s.total / self.calls * 1e6,
            "writes_per_commit": db.stats.batch_jobs.total / batches,
        }


async def measure(database_url: str, tenants_count: int, tasks: int, seconds: float) -> dict[str, float]:
    """`tasks` that each admit and end one call after the other, keys taken in turn."""
    async with open_storage(Settings(database_url=database_url)) as db:
        callers = [await db.write(EVERY_TENANT, partial(_caller, number)) for number in range(tenants_count)]
        tally = Tally()
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for number in range(tasks):
                    first = number % tenants_count
                    nursery.start_soon(_call_again_and_again, db, callers[first:] + callers[:first], tally)
        return tally.document(db)


async def _call_again_and_again(db: Database, callers: list[Principal], tally: Tally) -> None:
    while True:
        for who in callers:
            await _call(db, who)
            tally.calls += 1
            await trio.lowlevel.checkpoint()


async def _call(db: Database, who: Principal) -> None:
    """As the meter does it: a hold that need not be durable by itself, an ending that is."""
    at, tenant = now_us(), who.tenant_id
    call_id = new_id("chatcmpl-", at)
    opening = Opening(
        id=call_id,
        request_id="probe",
        endpoint="/v1/chat/completions",
        category="llm",
        model="kimi-k2.5-fast",
        streamed=False,
        hold=HOLD_UCR,
        at_us=at,
        expires_us=at + 120_000_000,
    )
    await db.write(tenant, lambda t: ledger.admit(t, tenant, who, PLENTY, opening), durable=False)
    closing = Closing("posted", "completed", COST_UCR, "provider_usage", "B5", RECEIPT, now_us())
    await db.write(tenant, lambda t: ledger.end(t, tenant, call_id, closing))


def _caller(number: int, db: Transaction) -> Principal:
    tenant_id, _ = tenants.upsert_tenant(db, f"Probe {number}", "enterprise", None, now_us())
    ledger.credit(db, tenant_id, "grant", CREDITS_UCR, "start", now_us())
    _, text = keys.create_key(db, tenant_id, SECRET, KeySettings("probe"), now_us())
    return keys.find_principal(db, key_digest(SECRET, text), now_us())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.ledger_cost", description=__doc__)
    parser.add_argument("--database", required=True, help="URL of a database for this purpose alone: it is written to")
    parser.add_argument("--tenants", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--tasks", type=int, default=48, help="calls under way at once (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="default: %(default)s")
    options = parser.parse_args()
    found = trio.run(measure, options.database, options.tenants, options.tasks, options.seconds)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
