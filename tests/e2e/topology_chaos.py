"""What is killed while a crowd calls, and what must be true of every call afterwards."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from scripts.clustering.postgres import Postgres
from scripts.simulator.book import Record
from tests.e2e.audit import Case, full_cost_ucr
from tests.e2e.crowd import Crowd, Spec, Told
from tests.e2e.database_faults import STOPS, start, stop
from tests.e2e.settlement import FINAL, Row, cost_ucr
from tests.e2e.surfaces import Surface
from tests.e2e.topology import Topology
from tests.e2e.wire_clients import H1Client

PAUSES_S: Final = (0.1, 2.0)
REFUSED_S: Final = 0.05
RETRY_S: Final = 0.3


class Survivors(Crowd):
    """A crowd whose gateway dies now and then: who cannot reach it tries again, who is cut off knows nothing."""

    async def _connect(self, surface: Surface) -> H1Client:
        while True:
            try:
                return await super()._connect(surface)
            except OSError:
                await trio.sleep(REFUSED_S)

    async def _call(self, spec: Spec) -> Told:
        try:
            told = await super()._call(spec)
        except OSError:
            return Told(spec)
        if told.code == "storage_unavailable":
            await trio.sleep(RETRY_S)
        return told


@dataclass(slots=True)
class Chaos:
    """Kills processes, and the database server where there is one, in random order; each comes back.

    The database is away for `outage_s` at most.
    """

    topology: Topology
    server: Postgres | None
    chance: random.Random
    outage_s: float
    kills: Counter[str] = field(default_factory=Counter)

    async def reign(self, strikes: int) -> None:
        for _ in range(strikes):
            await trio.sleep(self.chance.uniform(*PAUSES_S))
            if self.server is None or self.chance.random() < 0.5:
                await self.topology.kill_one(self.chance)
                self.kills["processes"] += 1
            else:
                await self._strike_database(self.server)

    async def _strike_database(self, server: Postgres) -> None:
        """A crash or a quick restart of the server; now and then one that waits for it is killed meanwhile."""
        how = self.chance.choice(STOPS)
        victim = self.chance.choice(self.topology.fronts) if self.chance.random() < 0.3 else None
        await stop(server, how)
        self.kills["the database"] += 1
        await trio.sleep(self.chance.uniform(0, self.outage_s))
        if victim is not None:
            await victim.end(signal.SIGKILL)
            self.kills["processes"] += 1
        await start(server)
        if victim is not None:
            await victim.start()


def wrongs(case: Case) -> Iterator[str]:
    """What is wrong with a call whose gateway may have died; an empty answer may hide any ending that is free."""
    told, rows = case.told, case.rows
    if len(rows) > 1:
        yield f"{len(rows)} rows"
    elif not rows:
        if told.saw_end:
            yield "its client has all of it and the ledger nothing"
    elif rows[0].state not in FINAL or rows[0].uncollected:
        yield f"not settled: {rows[0].state}, uncollected {rows[0].uncollected}"
    elif told.saw_end:
        yield from _whole(rows[0], case.records)
    elif rows[0].charge > _most_ucr(rows[0], case.records):
        yield f"charged {rows[0].charge}, and all that was sent is worth {_most_ucr(rows[0], case.records)}"


def kept_after_all(case: Case) -> bool:
    """Its client was told that the database is away, and the ending had reached it before."""
    return case.told.code == "storage_unavailable" and any(row.charge for row in case.rows)


def _whole(row: Row, records: Sequence[Record]) -> Iterator[str]:
    if (row.state, row.outcome) != ("posted", "completed"):
        yield f"its client has all of it, and it is {row.state}, {row.outcome}"
    elif row.charge != (due := full_cost_ucr(row, records[-1])):
        yield f"charged {row.charge} instead of {due}"


def _most_ucr(row: Row, records: Sequence[Record]) -> int:
    """What the dearest of its attempts is worth, by the usage that was sent and by the tokens that were."""
    by_tokens = (cost_ucr(row.model, record.prompt_tokens or 0, record.tokens_sent) for record in records)
    return max((*by_tokens, *(full_cost_ucr(row, record) for record in records)), default=0)
