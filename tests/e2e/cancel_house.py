"""The house in which clients leave: it knows how many tasks and sockets it had before, and must come back to that."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import trio

from scripts.simulator.book import Record
from tests.e2e.pulse import Pulse
from tests.e2e.settlement import FINAL, LedgerView, Row, open_ledger, until
from tests.e2e.wire_clients import Ask, H1Client
from tests.house import House, open_house

CLOSE_S: Final = 0.05
WRITE_DEADLINE_S: Final = 0.3


@dataclass(slots=True)
class Matrix:
    """A house that has answered some calls, and how many tasks and sockets it had then."""

    house: House
    ledger: LedgerView
    pulse: Pulse
    tasks: int = 0
    sockets: int = 0

    @property
    def key(self) -> str:
        return self.house.customer.key

    async def warm_up(self, asks: Iterable[Ask]) -> None:
        for ask in asks:
            client = await H1Client.connect(self.house.url)
            await client.ask(self.key, *ask)
            assert (await client.read_to_end()).saw_end, client.answer.body
            await client.leave()
        await trio.sleep(0.05)
        self.tasks, self.sockets = living()

    async def ended(self, tag: str) -> Row:
        """The one row of the call with this tag, once it is final."""
        rows: list[Row] = []

        def found() -> list[Row]:
            rows[:] = [row for row in self.ledger.rows("state <> 'held'") if row.tag == tag]
            return rows

        await until(found)
        (row,) = rows
        return row

    def check_close(self, record: Record, left: float, *, stuck: bool) -> None:
        """The provider was left as soon as its client had gone, or could not be written to any more."""
        assert record.outcome == "peer_closed"
        lag_s = self.close_lag_s(record, left)
        excused_s = self.pulse.excused_s(left, left + lag_s)
        assert lag_s <= CLOSE_S + (WRITE_DEADLINE_S if stuck else 0) + excused_s

    def close_lag_s(self, record: Record, left: float) -> float:
        assert record.close_seen is not None
        return self.house.book.begin() + record.close_seen - left

    async def check_clean(self) -> None:
        """The books balance, nothing is held, and no more tasks and sockets than at the start.

        One socket less for each idle connection that a cancel has used up.
        """

        def is_back() -> bool:
            tasks, sockets = living()
            return tasks <= self.tasks and sockets <= self.sockets

        await until(is_back)
        assert self.ledger.broken() == []
        assert self.ledger.money(self.house.customer.tenant_id)[1] == 0
        assert {row.state for row in self.ledger.rows()} <= FINAL


@asynccontextmanager
async def open_matrix(url: str, warm: Iterable[Ask]) -> AsyncIterator[Matrix]:
    async with open_house(url, write_deadline_s=WRITE_DEADLINE_S) as house, trio.open_nursery() as nursery:
        with open_ledger(house.settings.database_url) as ledger:
            matrix = Matrix(house, ledger, Pulse())
            nursery.start_soon(matrix.pulse.run)
            await matrix.warm_up(warm)
            yield matrix
        nursery.cancel_scope.cancel()


def living() -> tuple[int, int]:
    """Tasks of this run, and sockets of this process."""
    sockets = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            sockets += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return trio.lowlevel.current_statistics().tasks_living, sockets
