"""An engine with a gate before its commits: a test decides when the database is busy, and when it crashes."""

from __future__ import annotations

from typing import TypeVar

import trio

from app.storage.database import Engine, Job, Ticket

T = TypeVar("T")


class GatedEngine:
    """Begins no commit while `gate` is closed, and notes how many jobs each has that it began."""

    def __init__(self, engine: Engine) -> None:
        self.inner = engine
        self.always_durable = engine.always_durable
        self.gate = trio.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.crash: Exception | None = None

    async def commit(self, tickets: list[Ticket]) -> None:
        self.batches.append(len(tickets))
        await self.gate.wait()
        if self.crash is not None:
            raise self.crash
        await self.inner.commit(tickets)

    async def read(self, scope: str, job: Job[T]) -> T:
        return await self.inner.read(scope, job)

    def close(self) -> None:
        self.inner.close()
