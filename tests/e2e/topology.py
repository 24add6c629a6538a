"""The gateway in the shapes that it is run in, as real processes: one, workers on one port, replicas on PostgreSQL."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import pytest
import trio

from app.config import Settings
from app.storage.database import EngineName
from scripts.clustering.postgres import Postgres, free_port, open_postgres
from tests.books import faults
from tests.databases import open_view, sqlite_url
from tests.e2e.process import START_S, GatewayProcess, open_gateway_process
from tests.e2e.settlement import LedgerView, open_ledger, until
from tests.house import RICH_UCR, Ground, open_ground


@dataclass(frozen=True, slots=True)
class Shape:
    """So many `replicas` on ports of their own; with more than one worker each has a supervisor."""

    name: str
    engine: EngineName
    replicas: int
    workers: int

    @property
    def processes(self) -> int:
        return self.replicas * self.workers


REPLICATED: Final = Shape("postgresql x 3 replicas", "postgresql", replicas=3, workers=1)
SHAPES: Final = (
    Shape("sqlite x 1 worker", "sqlite", replicas=1, workers=1),
    Shape("sqlite x 2 workers", "sqlite", replicas=1, workers=2),
    REPLICATED,
)
NAMES: Final = [shape.name for shape in SHAPES]
#: For a test that takes `shape` and `database_url`.
ON_EACH = pytest.mark.parametrize(
    ("shape", "database_url"),
    [(shape, shape.engine) for shape in SHAPES],
    ids=NAMES,
    indirect=["database_url"],
)
#: For a test that takes `shape` and opens a database of its own, to break it.
ON_EACH_OWN = pytest.mark.parametrize("shape", SHAPES, ids=NAMES)


@dataclass(slots=True)
class Front:
    """Who listens on one port: a gateway, or a supervisor with its workers; and then its successors."""

    settings: Settings
    log: Path
    workers: int
    _stack: AsyncExitStack
    gateway: GatewayProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    async def start(self) -> None:
        """Returns when it serves."""
        several = self.workers > 1
        arguments = ("--workers", str(self.workers)) if several else ()
        serving = "workers.serving" if several else "gateway.serving"
        opening = open_gateway_process(self.settings, self.log, *arguments, serving=serving)
        self.gateway = await self._stack.enter_async_context(opening)

    async def end(self, how: signal.Signals) -> int:
        """Known to be down from now on; returns the exit code."""
        assert self.gateway is not None
        gateway, self.gateway = self.gateway, None
        return await gateway.end(how)

    def living_workers(self) -> list[int]:
        """The process ids of the supervisor's workers that have said that they serve."""
        whole_lines = self.log.read_bytes().rpartition(b"\n")[0].splitlines()
        said = [msgspec.json.decode(line) for line in whole_lines if b'"worker.serving"' in line]
        return [line["pid"] for line in said if _lives(line["pid"])]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass(slots=True)
class Topology:
    """A gateway in one shape, with everything it needs, in the hands of a test."""

    shape: Shape
    ground: Ground
    fronts: list[Front]
    _turns: Iterator[Front] = field(init=False)

    def __post_init__(self) -> None:
        self._turns = cycle(self.fronts)

    @property
    def database_url(self) -> str:
        return self.ground.settings.database_url

    def pick(self) -> str:
        """The URL for the next client: each in turn, but none that is known to be down while another is up."""
        for _ in self.fronts:
            front = next(self._turns)
            if front.gateway is not None:
                return front.url
        return next(self._turns).url

    async def kill_one(self, chance: random.Random) -> None:
        """kill -9 of one process; returns when its successor serves."""
        front = chance.choice(self.fronts)
        if front.workers > 1:
            pid = chance.choice(front.living_workers())
            os.kill(pid, signal.SIGKILL)
            await until(lambda: pid not in (living := front.living_workers()) and len(living) == front.workers, START_S)
        else:
            await front.end(signal.SIGKILL)
            await front.start()

    def check_money(self, ledger: LedgerView) -> None:
        """What the customer has is what was given and what was charged, and nothing is held."""
        tenant_id = self.ground.customer.tenant_id
        charged = sum(row.charge for row in ledger.rows())
        assert ledger.money(tenant_id) == (RICH_UCR - charged, 0)
        assert ledger.entries(tenant_id) == {"grant": RICH_UCR, "charge": -charged}

    async def end(self) -> None:
        """SIGTERM to all: each ends well, and the books balance."""
        for front in self.fronts:
            assert await front.end(signal.SIGTERM) == 0, f"see {front.log}"
        with open_view(self.database_url) as db:
            assert faults(db) == {}

    @contextmanager
    def open_ledger(self) -> Iterator[LedgerView]:
        with open_ledger(self.database_url) as ledger:
            yield ledger


@asynccontextmanager
async def open_topology(
    shape: Shape, folder: Path, database_url: str, *, customer: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Topology]:
    """The shape over a migrated or empty database, its providers simulated in this process; ended at the end."""
    async with open_ground(database_url, customer=customer, **settings) as ground, AsyncExitStack() as stack:
        fronts = [
            Front(replace(ground.settings, port=free_port()), folder / f"gateway-{number}.log", shape.workers, stack)
            for number in range(shape.replicas)
        ]
        async with trio.open_nursery() as nursery:
            for front in fronts:
                nursery.start_soon(front.start)
        topology = Topology(shape, ground, fronts)
        yield topology
        await topology.end()


@contextmanager
def host_topology(shape: Shape, folder: Path, database_url: str) -> Iterator[Topology]:
    """One for many tests, in a thread and a loop of its own: its book may be read only when nobody calls."""
    ready: Future[tuple[Topology, Callable[[], None]]] = Future()

    async def host() -> None:
        token, stopped = trio.lowlevel.current_trio_token(), trio.Event()
        async with open_topology(shape, folder, database_url) as topology:
            ready.set_result((topology, lambda: token.run_sync_soon(stopped.set)))
            await stopped.wait()

    def run() -> None:
        try:
            trio.run(host)
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(run)
        topology, stop = ready.result()
        try:
            yield topology
        finally:
            stop()
            ended.result()


@contextmanager
def own_database(shape: Shape, folder: Path) -> Iterator[tuple[str, Postgres | None]]:
    """The URL of a new database, and for PostgreSQL the server, which nobody else uses."""
    if shape.engine == "sqlite":
        yield sqlite_url(folder), None
        return
    with TemporaryDirectory(prefix="gateway-") as place, open_postgres(Path(place) / "data", durable=False) as server:
        yield server.create(), server
