"""How long each phase of an upstream call may take: one cancel scope whose deadline moves, no timer per chunk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import trio

Phase = Literal["first byte", "gap", "total", "reader"]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each phase; the time to the first chunk is the dialect's."""

    connect_s: float = 5.0
    gap_s: float = 60.0
    total_s: float = 600.0
    error_body_s: float = 5.0
    #: How long the reader of the answer may keep it waiting, all in all.
    reader_s: float = 120.0


class ReaderLate(Exception):
    """The answer was there and was not taken in time: no fault of the provider's."""


class Patience:
    """`begin`, then `wait` and `rest` in turn, then `end`. While resting the provider's time stands still.

    The reader's runs instead: else one that reads slowly would make the answer late, and so free of charge.
    """

    __slots__ = (
        *("_first_byte_at", "_rest_left_s", "_resting_since", "_scope", "_stopped_s", "_total_at"),
        *("deadlines", "fed", "phase"),
    )

    def __init__(self, deadlines: Deadlines, first_byte_s: float) -> None:
        now = trio.current_time()
        self.deadlines = deadlines
        self.fed = False
        self.phase: Phase = "first byte"
        self._total_at = now + deadlines.total_s
        self._first_byte_at = now + first_byte_s
        self._rest_left_s = deadlines.reader_s
        self._resting_since = now
        self._stopped_s: float | None = None
        self._scope = trio.CancelScope(deadline=min(self._first_byte_at, self._total_at))

    def begin(self) -> None:
        self._scope.__enter__()

    def wait(self) -> None:
        """The provider is waited for from now on. A deadline that has passed keeps its name."""
        if self._scope.cancel_called:
            return
        now = trio.current_time()
        rested_s = now - self._resting_since
        self._rest_left_s -= rested_s
        self._total_at += rested_s
        self.phase, at = ("gap", now + self.deadlines.gap_s) if self.fed else self._first()
        if at > self._total_at:
            self.phase, at = "total", self._total_at
        self._scope.deadline = at

    def rest(self) -> None:
        """The provider has answered. A deadline that has passed keeps its name."""
        if self._scope.cancel_called:
            return
        self.phase = "reader"
        self._resting_since = trio.current_time()
        self._scope.deadline = self._resting_since + self._rest_left_s

    def stop(self) -> None:
        """The provider is done: none of its deadlines applies to what is left to do."""
        self._stopped_s = self.waited_s
        self._total_at = self._rest_left_s = math.inf
        self._scope.deadline = math.inf

    @property
    def waited_s(self) -> float:
        """How long the provider has been waited for, its rests taken out: the total deadline has moved by them."""
        if self._stopped_s is not None:
            return self._stopped_s
        until = self._resting_since if self.phase == "reader" else trio.current_time()
        return until - self._total_at + self.deadlines.total_s

    def end(self, error: BaseException | None) -> bool:
        """Leave the scope with the exception in flight; True when that is our own deadline's doing."""
        kind = None if error is None else type(error)
        trace = None if error is None else error.__traceback__
        return bool(self._scope.__exit__(kind, error, trace)) and self._scope.cancelled_caught

    def _first(self) -> tuple[Phase, float]:
        return "first byte", self._first_byte_at
