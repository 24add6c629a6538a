"""What is not counted but read: the state of the house at the moment when its page is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import trio

from app.core.identity import Clock, now_us
from app.observability import names
from app.observability.metrics import Table
from app.observability.names import Family
from app.observability.stats import BooksStats, ChannelStats, DatabaseStats, Labels

_US: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where to look. Functions are called on the loop and must be quick."""

    active: Callable[[], int] = int
    database: DatabaseStats = field(default_factory=DatabaseStats)
    #: Writes that wait for the writer.
    queued: Callable[[], int] = int
    books: BooksStats = field(default_factory=BooksStats)
    channels: ChannelStats = field(default_factory=ChannelStats)
    #: Endings that wait for the database, and holds swept so far.
    settle_backlog: Callable[[], int] = int
    swept: Callable[[], int] = int
    #: (provider, state, number)
    connections: Callable[[], Iterable[tuple[str, str, int]]] = tuple
    #: (provider, model, whether it is not asked)
    breakers: Callable[[], Iterable[tuple[str, str, bool]]] = tuple
    clock: Clock = now_us

    def tables(self) -> Iterator[tuple[Family, Table]]:
        """Everything as it is now. To be called on the loop."""
        database = self.database
        yield names.REQUESTS_ACTIVE, {(): self.active()}
        yield names.QUEUE_DEPTH, {(): self.queued()}
        yield names.READERS_BUSY, {(): database.reading}
        yield names.BATCH_JOBS, {(): database.batch_jobs}
        yield names.COMMIT_SECONDS, {(): database.commit_s}
        yield names.COMMIT_FAILURES, {(): database.failures}
        yield names.SETTLE_BACKLOG, {(): self.settle_backlog()}
        yield names.SWEPT, {(): self.swept()}
        yield names.TASKS, {(): trio.lowlevel.current_statistics().tasks_living}
        yield names.THREADS, {(): threading.active_count()}
        yield names.CONNECTIONS, {(provider, state): number for provider, state, number in self.connections()}
        yield names.BREAKER_OPEN, _largest(((provider, model), down) for provider, model, down in self.breakers())
        yield from _books(self.books, self.clock())
        yield from _channels(self.channels, self.clock())


def _books(books: BooksStats, at_us: int) -> Iterator[tuple[Family, Table]]:
    """Nothing before the first look: a 0 would say that all is well."""
    if books.looked_us:
        yield names.HOLDS_OPEN, {(): books.open}
        yield names.HOLDS_OVERDUE, {(): books.overdue}
        yield names.HOLD_AGE, {(): _since(books.oldest_us, at_us)}
        yield names.BOOKS_AGE, {(): (at_us - books.looked_us) / _US}
    if books.rounds or books.broken:
        yield names.VIOLATIONS, {(): len(books.broken)}


def _channels(channels: ChannelStats, at_us: int) -> Iterator[tuple[Family, Table]]:
    """Nothing before the first look."""
    if not channels.looked_us:
        return
    yield names.INBOX_PENDING, {(): channels.pending}
    yield names.INBOX_LAG, {(): _since(channels.due_us, at_us)}
    yield names.DEAD_LETTERS, {("tenant",): channels.letters, ("nobody",): channels.letters_of_nobody}
    yield (
        names.LANES,
        {("due",): channels.lanes_due, ("overdue",): channels.lanes_overdue, ("running",): channels.lanes_running},
    )
    yield names.SENDS, {("queued",): channels.queued, ("sending",): channels.sending, ("unknown",): channels.unknown}
    yield names.SEND_AGE, {(): _since(channels.oldest_us, at_us)}
    yield names.NUMBERS_IN_ERROR, {(): channels.numbers_in_error}
    yield names.CHANNELS_AGE, {(): (at_us - channels.looked_us) / _US}


def _since(then_us: int, at_us: int) -> float:
    """Seconds; 0 for none, and for what lies ahead."""
    return max(0, at_us - then_us) / _US if then_us else 0.0


def _largest(rows: Iterable[tuple[Labels, float]]) -> Table:
    """Rows of equal labels, such as those of `other`, count as the largest of them."""
    table: dict[Labels, float] = {}
    for labels, value in rows:
        table[labels] = max(value, table.get(labels, 0))
    return table
