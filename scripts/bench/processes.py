"""Systems as sessions of their own: started on one core, watched in /proc, stopped by pid."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.bench.figures import System
from scripts.bench.proc import PROC, Usage, session_stats, session_usage
from scripts.bench.questions import HOST, Door, short_body

READY_S: Final = 120.0
STOP_S: Final = 10.0
QUIET_S: Final = 10.0
_POLL_S: Final = 0.25
_QUIET_SHARE: Final = 0.1
_LOG_LINES: Final = 15
#: All that a system sees of this environment: none of its keys, settings or proxies.
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


class BenchError(Exception):
    """The bench cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a system is started, and where it answers then."""

    name: System
    argv: list[str]
    door: Door
    cwd: Path
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    name: System
    door: Door
    pid: int

    def usage(self) -> Usage | None:
        """Of all its processes; None where there is no /proc."""
        return session_usage(self.pid) if PROC.is_dir() else None

    def usage_when_quiet(self) -> Usage | None:
        """Wait until it works no more, so that what it tidies up after a load is its own and not its successor's."""
        last = self.usage()
        for _ in range(round(QUIET_S / _POLL_S)):
            time.sleep(_POLL_S)
            now = self.usage()
            if now is None or last is None or now.cpu_s - last.cpu_s <= _QUIET_SHARE * _POLL_S:
                return now
            last = now
        return last


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core carries the system under test, the upstream, and the load; on two cores the last two share.

    None leaves a process free, where it cannot be tied to a core (macOS).
    """

    system: int | None = None
    upstream: int | None = None
    load: int | None = None

    @classmethod
    def choose(cls, available: list[int]) -> Cores:
        if not available:
            return cls()
        first, last = available[0], available[-1]
        return cls(first, available[1] if len(available) > 2 else last, last)


def available_cores() -> list[int]:
    """The cores this process may use; empty where it cannot be tied to one."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(pid: int, core: int | None) -> None:
    """Tie a process, and what it starts from now on, to one core."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(settings)


@contextmanager
def open_system(recipe: Recipe, folder: Path, core: int | None) -> Iterator[Running]:
    """Start it, wait until it answers, stop it whatever happens. Raises BenchError with its last words."""
    log = folder / f"{recipe.name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            recipe.argv,
            cwd=recipe.cwd,
            env=environment(recipe.settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        pin(process.pid, core)
        _wait_until_ready(recipe, process, log)
        yield Running(recipe.name, recipe.door, process.pid)
    finally:
        _stop(process)


def _wait_until_ready(recipe: Recipe, process: subprocess.Popen[bytes], log: Path) -> None:
    latest = time.monotonic() + READY_S
    said = "nothing"
    while time.monotonic() < latest and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            status, body = ask_once(recipe.door)
            if status == 200:
                return
            said = f"status {status}: {body[:300].decode(errors='replace')}"
        time.sleep(0.1)
    how = "did not answer" if process.poll() is None else f"ended with code {process.returncode}"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
    raise BenchError(f"{recipe.name} {how}; its answer: {said}; its last words:\n{tail}")


def ask_once(door: Door) -> tuple[int, bytes]:
    """Status and body of the short question. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection(HOST, door.port, timeout=30)
    try:
        connection.request("POST", door.path, short_body(door), door.headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the group, SIGKILL to what is left of it and of the groups that its children made in its session."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stat in session_stats(process.pid) if PROC.is_dir() else ():
            with suppress(ProcessLookupError):
                os.kill(stat.pid, signal.SIGKILL)
