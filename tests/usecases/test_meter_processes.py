"""Several processes spend from one database at once: limits are exact and the books balance."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import trio

from app.storage import ledger
from app.storage.database import EVERY_TENANT
from tests.books import open_books
from tests.storage.making import make_principal
from tests.usecases.rival import HOLD, PARALLEL

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 2
#: Credits for this many calls, which is fewer than the rivals want to post.
COVERED = 120


async def run_rival(url: str, seed: int, fates: list[Counter[str]]) -> None:
    command = [sys.executable, "-m", "tests.usecases.rival", url, str(seed)]
    done = await trio.run_process(command, cwd=ROOT, capture_stdout=True)
    fates.append(Counter(json.loads(done.stdout.splitlines()[-1])))


async def test_two_processes_never_spend_a_credit_twice_nor_lose_one(database_url: str) -> None:
    async with open_books(database_url) as db:
        rich = await db.write(EVERY_TENANT, lambda t: make_principal(t, "Acme", credit=COVERED * HOLD))
        await db.write(EVERY_TENANT, lambda t: make_principal(t, "Bolt", credit=0))
        each: list[Counter[str]] = []
        began = time.monotonic()
        async with trio.open_nursery() as nursery:
            for seed in range(PROCESSES):
                nursery.start_soon(run_rival, database_url, seed, each)
        minutes = (time.monotonic() - began) / 60
        fates = sum(each, Counter())
        print(dict(fates))

        assert fates["storage_unavailable"] == 0
        rows: Counter[str] = Counter(
            state for (state,) in await db.read(EVERY_TENANT, lambda t: t.all("SELECT state FROM calls"))
        )
        assert rows["posted"] == fates["posted"] + fates["rated"]
        assert rows["voided"] == fates["voided"] + fates["forgotten"]
        assert rows["held"] + rows["expired"] == fates["abandoned"] > 0
        assert 3 <= fates["rated"] <= 3 + 3 * minutes
        balance = await db.read(rich.tenant_id, lambda t: ledger.balance(t, rich.tenant_id))
        assert balance == ((COVERED - fates["posted"]) * HOLD, rows["held"] * HOLD)
        assert fates["posted"] > COVERED // 2
        assert fates["insufficient_credits"] + fates["credits_held"] > PARALLEL
