"""One of several processes that spend from one database: `python -m tests.usecases.rival DATABASE_URL SEED`.

Its last line says, as JSON, how many of its calls had which fate.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from contextlib import suppress

import trio

from app.core.billing import Bill
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.ledger import Limits
from app.core.limits import Rate
from app.storage.database import EVERY_TENANT, Transaction, open_database
from app.storage.engines import open_engine
from app.usecases.meter import Meter
from tests.usecases.spending import ask

CALLS = 300
PARALLEL = 20
HOLD = 100
ABANDONED = 5


async def spend(url: str, seed: int) -> Counter[str]:
    """Leave a few calls as a process that dies leaves them; then open calls, grow some, and end each in some way."""
    fates: Counter[str] = Counter()
    chance = random.Random(seed)
    turns = iter(range(CALLS))

    async with open_database(await open_engine(url, synchronous="NORMAL", deadline_s=20), deadline_s=20) as db:
        principals = await db.read(EVERY_TENANT, read_principals)
        meter, dying = Meter(db), Meter(db, hold_s=0.001)
        limits = Limits(Rate(1_000_000), concurrency=1_000_000)
        narrow = Limits(Rate(3), concurrency=1_000_000)

        async def one_call() -> str:
            rich, rated = principals
            if chance.random() < 0.1:
                async with meter.open_call(rated, ask(0, narrow)) as call:
                    await call.post(Bill("completed", 0, "provider_usage", "B5"))
                return "rated"
            async with meter.open_call(rich, ask(HOLD, limits)) as call:
                match chance.randrange(4):
                    case 0:
                        await call.cover(HOLD, HOLD, None)
                        await call.post(Bill("completed", HOLD, "provider_usage", "B5"))
                        return "posted"
                    case 1:
                        await call.post(Bill("completed", HOLD, "provider_usage", "B5"))
                        return "posted"
                    case 2:
                        await call.void("failed", "B6")
                        return "voided"
                    case _:
                        await trio.lowlevel.checkpoint()
                        return "forgotten"

        async def work() -> None:
            for _ in turns:
                try:
                    fates[await one_call()] += 1
                except Problem as problem:
                    fates[problem.code] += 1

        with suppress(Problem):
            for _ in range(ABANDONED):
                await dying.admit(principals[0], ask(HOLD, limits))
                fates["abandoned"] += 1
        async with trio.open_nursery() as nursery:
            for _ in range(PARALLEL):
                nursery.start_soon(work)
            nursery.start_soon(meter.settler.sweep)
    return fates


def read_principals(db: Transaction) -> list[Principal]:
    """One key of each tenant, by the tenant's name."""
    rows = db.all(
        "SELECT k.tenant_id, k.id, k.version + t.version FROM api_keys k JOIN tenants t ON t.id = k.tenant_id "
        "ORDER BY t.name"
    )
    return [Principal(tenant_id, key_id, "pro", version) for tenant_id, key_id, version in rows]


if __name__ == "__main__":
    print(json.dumps(trio.run(spend, sys.argv[1], int(sys.argv[2]))))
