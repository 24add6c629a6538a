"""The database as the program sees it: `write` a job with its neighbours in one commit, `read` without waiting.

A job is a plain function of a `Transaction`; it may be run again when a neighbour spoilt their transaction, so it keeps
its hands off everything else. All writes go through one writer task, which takes every job that waits, runs them in
one transaction, commits once and wakes the callers (design.md section 5).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeVar

import structlog
import trio

from app.core.errors import Problem, error_places
from app.observability.stats import DatabaseStats

T = TypeVar("T")
Row = tuple[Any, ...]
EngineName = Literal["sqlite", "postgresql"]
Job = Callable[["Transaction"], T]

QUEUE_SIZE: Final = 1024
BATCH_SIZE: Final = 256
RETRY_S: Final = 2.0
WATCH_S: Final = 0.25
#: The scope of a job that may look across tenants: the sweeper, seeds, the check of the books.
EVERY_TENANT: Final = "*"
#: How long a durable write waits for others when the last ones came in company.
LINGER_S: Final = 0.0015
log = structlog.get_logger(__name__)


class Transaction(Protocol):
    """What a job may do. `?` stands for a parameter on every engine."""

    @property
    def engine(self) -> EngineName: ...

    def run(self, sql: str, *values: object) -> int:
        """Execute and return how many rows changed."""
        ...

    def do(self, sql: str, *values: object) -> None:
        """Execute without asking how many rows changed, so that nobody waits for the answer over a network.

        An error may come up later in the job, or undo it at the commit.
        """
        ...

    def one(self, sql: str, *values: object) -> Row | None: ...

    def all(self, sql: str, *values: object) -> list[Row]: ...


@dataclass(slots=True, eq=False)
class Ticket:
    """One job on its way through the writer, and the task that waits for it.

    `scope` is the tenant whose rows it works on, or `EVERY_TENANT`; `patience_s` is how long a statement may take.
    """

    job: Job[Any]
    scope: str
    task: trio.lowlevel.Task | None
    late_at: float
    durable: bool
    patience_s: float
    result: Any = None
    error: Exception | None = None
    #: The caller knows how it ended, or has been told that it took too long.
    answered: bool = False
    #: Not run: its tenant's turn did not come. It is in the next batch again.
    postponed: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is still to be run in this batch."""
        return self.error is None and not self.answered and not self.postponed

    def leave(self, _: object) -> trio.lowlevel.Abort:
        """The caller was cancelled: a job that has not begun is not run."""
        self.answered = True
        return trio.lowlevel.Abort.SUCCEEDED

    def answer(self) -> None:
        if not self.answered:
            self.answered = True
            if self.task is not None:
                trio.lowlevel.reschedule(self.task)


class Engine(Protocol):
    """One kind of database. Only the writer task calls `commit`; `read` may run many times at once.

    Jobs of one tenant take turns, in whatever process they run: what a job has read holds until its commit.
    """

    #: Whether every commit is durable, asked for or not: then nothing is gained by committing quick jobs first.
    always_durable: bool

    async def commit(self, tickets: list[Ticket]) -> None:
        """Run every ticket in one transaction, filling `result` or `error`, or setting `postponed`.

        Raises StorageError if nothing was kept.
        """
        ...

    async def read(self, scope: str, job: Job[T]) -> T: ...

    def close(self) -> None: ...


class StorageError(Exception):
    """The database could not do it: locked, full, gone, slow. Nothing of the batch was kept, as far as we know."""


def unavailable() -> Problem:
    return Problem(
        "storage_unavailable",
        "The gateway's database is not available. Nothing was charged; try again shortly.",
        retry_after_s=RETRY_S,
    )


class Database:
    """The handle everything else is given. Make one with `open_database`."""

    def __init__(self, engine: Engine, queue: trio.MemorySendChannel[Ticket], deadline_s: float) -> None:
        self._engine = engine
        self._queue = queue
        self._deadline_s = deadline_s
        self._waiting: list[Ticket] = []
        self.stats = DatabaseStats()

    @property
    def queued(self) -> int:
        """How many writes wait for the writer."""
        return self._queue.statistics().current_buffer_used

    async def write(
        self, scope: str, job: Job[T], *, durable: bool = True, patience_s: float | None = None, leave: bool = False
    ) -> T:
        """Run `job` in a committed transaction and return its result; its own exceptions come back and undo it.

        `scope` is the tenant whose rows the job reads and writes; on PostgreSQL it sees no others.
        Without `durable` a power cut may undo it, a crash of this process may not; a later durable write secures it.
        `patience_s` is for long work, such as a migration; the database's deadline otherwise.
        Not cancellable, so that a caller always knows whether it happened; bounded by the write deadline instead.
        With `leave` it is: the caller goes at once, and the job may happen all the same.
        Raises Problem `storage_unavailable` when the database does not answer in time, refuses, or has too much to do.
        """
        patience_s = self._deadline_s if patience_s is None else patience_s
        late_at = trio.current_time() + patience_s
        ticket = Ticket(
            job, scope, trio.lowlevel.current_task(), late_at, durable or self._engine.always_durable, patience_s
        )
        try:
            self._queue.send_nowait(ticket)
        except trio.WouldBlock:
            raise unavailable() from None
        self._waiting.append(ticket)
        await trio.lowlevel.wait_task_rescheduled(ticket.leave if leave else _not_cancellable)
        if ticket.error is not None:
            raise unavailable() if isinstance(ticket.error, StorageError) else ticket.error
        result: T = ticket.result
        return result

    async def run_watch(self) -> None:
        """Answer writes that are past their deadline. One task for all, in place of a timer for each."""
        while True:
            await trio.sleep(WATCH_S)
            now = trio.current_time()
            self._waiting = [ticket for ticket in self._waiting if not ticket.answered]
            for ticket in self._waiting:
                if ticket.late_at <= now:
                    ticket.error = StorageError("the write deadline passed")
                    ticket.answer()

    async def read(self, scope: str, job: Job[T]) -> T:
        """Run `job` on a connection that sees what is committed. Cancellable before it begins. Raises as `write`."""
        self.stats.reading += 1
        try:
            with trio.fail_after(self._deadline_s):
                return await self._engine.read(scope, job)
        except (StorageError, trio.TooSlowError) as error:
            log.warning("storage.read_failed", error=repr(error))
            raise unavailable() from None
        finally:
            self.stats.reading -= 1


@asynccontextmanager
async def open_database(engine: Engine, *, deadline_s: float = 5.0) -> AsyncIterator[Database]:
    """Own the writer for the length of the block. It outlives a cancelled block, so that everyone in it can settle."""
    send, receive = trio.open_memory_channel[Ticket](QUEUE_SIZE)
    database = Database(engine, send, deadline_s)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run_writer, engine, receive, database)
            with send:
                yield database
    finally:
        engine.close()


async def _run_writer(engine: Engine, receive: trio.MemoryReceiveChannel[Ticket], database: Database) -> None:
    with trio.CancelScope(shield=True), receive:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.run_watch)
            crowded = False
            postponed: list[Ticket] = []
            while waiting := postponed or await _first(receive):
                batch = _batch(waiting, receive)
                if crowded:
                    batch = await _gather(engine, batch, receive, database.stats)
                crowded = sum(ticket.durable for ticket in batch) > 1
                await _commit(engine, batch, database.stats)
                postponed = [ticket for ticket in batch if not ticket.answered]
                for ticket in postponed:
                    ticket.postponed = False
            nursery.cancel_scope.cancel()


async def _first(receive: trio.MemoryReceiveChannel[Ticket]) -> list[Ticket]:
    """The next ticket; empty when there will be none."""
    async for ticket in receive:
        return [ticket]
    return []


async def _gather(
    engine: Engine, batch: list[Ticket], receive: trio.MemoryReceiveChannel[Ticket], stats: DatabaseStats
) -> list[Ticket]:
    """Commit at once what need not wait for the disk; the rest waits for company, since syncing one costs as much."""
    quick = [ticket for ticket in batch if not ticket.durable]
    await _commit(engine, quick, stats)
    slow = [ticket for ticket in batch if ticket.durable]
    if slow:
        await trio.sleep(LINGER_S)
    return _batch(slow, receive)


def _batch(batch: list[Ticket], receive: trio.MemoryReceiveChannel[Ticket]) -> list[Ticket]:
    """`batch` and everything that waits, up to a bound. What took too long is left out: its caller has been told."""
    while len(batch) < BATCH_SIZE:
        try:
            batch.append(receive.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            break
    return [ticket for ticket in batch if not ticket.answered]


async def _commit(engine: Engine, batch: list[Ticket], stats: DatabaseStats) -> None:
    if not batch:
        return
    began = trio.current_time()
    try:
        await engine.commit(batch)
        stats.committed(len(batch), trio.current_time() - began)
    except StorageError as error:
        stats.failures += 1
        log.error("storage.commit_failed", error=str(error), jobs=len(batch))
        for ticket in batch:
            ticket.error = error
    except Exception as error:  # noqa: BLE001 - a bug: nobody may wait for ever, the writer lives on, all get a 503
        stats.failures += 1
        log.error("storage.commit_crashed", jobs=len(batch), errors=error_places(error))
        for ticket in batch:
            ticket.error = StorageError(repr(error))
    for ticket in batch:
        if ticket.error is not None or not ticket.postponed:
            ticket.answer()


def _not_cancellable(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
