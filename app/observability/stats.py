"""What is counted: plain numbers of one thread, bumped where things happen and read when a page is asked for.

prometheus_client's own counters take a lock and several calls for each increment, which was 40 µs of a call here;
these are a look-up and an addition.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field

from app.observability.names import FAST_S, JOBS

Labels = tuple[str, ...]
#: A counter or a gauge by the values of its labels.
Counts = defaultdict[Labels, float]


class Buckets:
    """A histogram. `counts` has one place more than `bounds`, for what is above them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Buckets:
        same = Buckets(self.bounds)
        same.counts, same.total = self.counts.copy(), self.total
        return same


class Histograms(dict[Labels, Buckets]):
    """A histogram by the values of its labels."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self._bounds = bounds

    def __missing__(self, labels: Labels) -> Buckets:
        made = self[labels] = Buckets(self._bounds)
        return made


@dataclass(slots=True)
class DatabaseStats:
    """Kept by the writer and the readers of one process."""

    reading: int = 0
    failures: int = 0
    batch_jobs: Buckets = field(default_factory=lambda: Buckets(JOBS))
    commit_s: Buckets = field(default_factory=lambda: Buckets(FAST_S))

    def committed(self, jobs: int, took_s: float) -> None:
        self.batch_jobs.observe(jobs)
        self.commit_s.observe(took_s)


@dataclass(slots=True)
class BooksStats:
    """What was found when the books were looked at last; times in microseconds since 1970, 0 for never or none."""

    open: int = 0
    overdue: int = 0
    oldest_us: int = 0
    looked_us: int = 0
    broken: set[str] = field(default_factory=set)
    #: How many times every tenant has been looked at.
    rounds: int = 0


@dataclass(slots=True)
class ChannelStats:
    """What was found when the channels were looked at last; times in microseconds since 1970, 0 for never or none."""

    pending: int = 0
    #: Since when the oldest of them could be sorted.
    due_us: int = 0
    letters: int = 0
    letters_of_nobody: int = 0
    lanes_due: int = 0
    lanes_overdue: int = 0
    lanes_running: int = 0
    queued: int = 0
    sending: int = 0
    unknown: int = 0
    #: When the oldest queued one was written.
    oldest_us: int = 0
    numbers_in_error: int = 0
    looked_us: int = 0
