"""Turns at one SQLite file: a process that commits again and again sees that others wait, and lets them go first.

SQLite keeps no queue for its write lock, and one that comes back at once always finds it free. So whoever waits says so
with a shared `flock` on the database's folder, which SQLite itself never locks; asking costs two system calls.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path


class Turns:
    """One participant. It never blocks, and what it says is advice: the lock that counts is SQLite's."""

    def __init__(self, database: Path) -> None:
        """Raises OSError when the folder cannot be read."""
        self._folder = os.open(database.parent, os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The others see that somebody waits for as long as the block takes."""
        self._lock(LOCK_SH)
        try:
            yield
        finally:
            flock(self._folder, LOCK_UN)

    def others_wait(self) -> bool:
        if not self._lock(LOCK_EX):
            return True
        flock(self._folder, LOCK_UN)
        return False

    def close(self) -> None:
        os.close(self._folder)

    def _lock(self, how: int) -> bool:
        try:
            flock(self._folder, how | LOCK_NB)
        except BlockingIOError:
            return False
        return True
