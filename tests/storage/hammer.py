"""One of several processes that write to one file without a pause: `python -m tests.storage.hammer DATABASE SECONDS`.

It says `ready`, begins at the first line it is given, and says at its end, as JSON, how often it wrote and how long a
write took at most.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from app.storage.database import EVERY_TENANT, Transaction, open_database
from app.storage.sqlite import SqliteEngine


def count(db: Transaction) -> int:
    return db.run("UPDATE counter SET value = value + 1")


async def hammer(path: Path, seconds: float) -> None:
    writes, worst_s = 0, 0.0
    async with open_database(SqliteEngine(path)) as db:
        print("ready", flush=True)
        sys.stdin.readline()
        now = trio.current_time()
        end = now + seconds
        while now < end:
            await db.write(EVERY_TENANT, count, durable=bool(writes % 2))
            writes += 1
            before, now = now, trio.current_time()
            worst_s = max(worst_s, now - before)
    print(json.dumps([writes, worst_s]))


if __name__ == "__main__":
    trio.run(hammer, Path(sys.argv[1]), float(sys.argv[2]))
