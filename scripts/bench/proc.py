"""What /proc tells of processes (proc(5)): whose they are, the processor time they used, the memory they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/PID/stat; `ticks_of_ended` are those of children that have ended."""

    pid: int
    parent: int
    session: int
    ticks: int
    ticks_of_ended: int
    threads: int
    pages: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Of several processes together: CPU seconds so far, resident MB now."""

    cpu_s: float
    rss_mb: float


def read_stat(text: str) -> Stat:
    """The command's name may hold blanks and parentheses."""
    pid, _, rest = text.partition(" ")
    fields = rest.rpartition(")")[2].split()
    return Stat(
        pid=int(pid),
        parent=int(fields[1]),
        session=int(fields[3]),
        ticks=int(fields[11]) + int(fields[12]),
        ticks_of_ended=int(fields[13]) + int(fields[14]),
        threads=int(fields[17]),
        pages=int(fields[21]),
    )


def session_stats(session: int) -> list[Stat]:
    """Every process of a session, such as a supervisor and its workers."""
    return [stat for stat in _stats() if stat.session == session]


def session_usage(session: int) -> Usage:
    stats = session_stats(session)
    return Usage(_seconds(sum(stat.ticks for stat in stats)), resident_mb(stats))


def resident_mb(stats: list[Stat]) -> float:
    return sum(stat.pages for stat in stats) * os.sysconf("SC_PAGE_SIZE") / 1e6


def family_cpu_s(parent: int) -> float:
    """Of a process and its children, those that have ended among them."""
    return _seconds(
        sum(
            stat.ticks + stat.ticks_of_ended if stat.pid == parent else stat.ticks
            for stat in _stats()
            if parent in (stat.pid, stat.parent)
        )
    )


def _stats() -> Iterator[Stat]:
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                yield read_stat((entry / "stat").read_text())


def _seconds(ticks: int) -> float:
    return ticks / os.sysconf("SC_CLK_TCK")
