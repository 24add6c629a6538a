"""What every surface's stream writer can do: turn deltas into the bytes of its own events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.core.deltas import Delta, Usage
from app.core.errors import Problem


class StreamWriter(Protocol):
    """`open`, any number of `write` and `heartbeat`, then either `close` or `error`: whole events each time.

    No method waits or keeps bytes back; what one network read brought leaves in one write (compat.md S2).
    """

    def open(self) -> bytes:
        """The events before any output."""

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """The events for `deltas`; may be empty."""

    def heartbeat(self) -> bytes:
        """A real event that changes nothing (compat.md S11)."""

    def close(self, finishes: Mapping[int, str], usage: Usage) -> bytes:
        """The events that end a good stream. Write them only after the call is settled (compat.md S16)."""

    def error(self, problem: Problem) -> bytes:
        """The events that end a failed stream."""


class WholeWriter(Protocol):
    """Folds an answer into one body: `open`, any number of `write`, whose bytes nobody sends, then `whole`."""

    def open(self) -> bytes:
        """As `StreamWriter.open`."""

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """As `StreamWriter.write`."""

    def whole(self, finishes: Mapping[int, str], usage: Usage) -> bytes:
        """The JSON body of the whole answer, in place of the events that `close` gives."""
