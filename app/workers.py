"""`--workers N`: a supervisor binds the port once and keeps N workers serving on it.

It serves nothing itself and holds no database. It keeps the listening socket all the while, so that a client who comes
while a worker is dead or replaced waits in the system's queue for another.
"""

from __future__ import annotations

import os
import signal
import socket
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import structlog
import trio

from app.config import Settings
from app.server.settings import ServerSettings
from app.worker import Worker, WorkerError, open_worker

MOST_WORKERS: Final = 64
#: The pause before a dead worker's successor, doubled each time up to the second, the first again after a long life.
PAUSES_S: Final = (0.1, 5.0)
LONG_LIFE_S: Final = 30.0
log = structlog.get_logger(__name__)


def worker_count(text: str) -> int:
    """What `--workers` takes; for an ArgumentParser."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_WORKERS}")
    return int(text)


async def run_workers(settings: Settings, workers: int, on_ready: Callable[[list[str]], None] | None = None) -> None:
    """Serve with so many processes until SIGINT or SIGTERM; return when all have drained. SIGHUP replaces each of them.

    `on_ready` gets the base URLs once all serve. Raises OSError when the address is taken, WorkerError when a worker
    does not start or does not end well.
    """
    (listener,) = ServerSettings(host=settings.host, port=settings.port).listen()
    with listener:
        async with trio.open_nursery() as outer:
            async with trio.open_nursery() as nursery:
                supervisor = _Supervisor(settings, listener, nursery)
                await outer.start(supervisor.watch_signals)
                urls = await nursery.start(supervisor.keep)  # it migrates; and what stops all is told once
                async with trio.open_nursery() as starting:
                    for _ in range(workers - 1):
                        starting.start_soon(nursery.start, supervisor.keep)
                nursery.start_soon(supervisor.run_replacements)
                log.info("workers.serving", urls=urls, workers=workers)
                if on_ready is not None:
                    on_ready(urls)
            outer.cancel_scope.cancel()


@dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    """A worker and its successors; the seat is left, and its worker drained, when the scope is cancelled."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    left: trio.Event = field(default_factory=trio.Event)


class _Supervisor:
    def __init__(self, settings: Settings, listener: socket.socket, nursery: trio.Nursery) -> None:
        self._settings = settings
        self._listener = listener
        self._nursery = nursery
        self._stopped = trio.Event()
        self._hurry = trio.Event()
        self._replace = trio.Event()
        self._seats: list[_Seat] = []
        self._numbers: set[int] = set()

    async def watch_signals(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled, through the drain too: the second SIGINT or SIGTERM hurries it."""
        has_terminal = os.isatty(0)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                # SIGHUP comes too when the terminal in which this runs is closed; then nobody could stop it any more.
                if number == signal.SIGHUP and os.isatty(0) == has_terminal:
                    self._replace.set()
                elif self._stopped.is_set():
                    self._hurry.set()
                else:
                    self._stop()

    def _stop(self) -> None:
        log.info("workers.draining", seconds=self._settings.drain_s)
        self._stopped.set()
        self._listener.close()
        self._nursery.cancel_scope.cancel()

    async def keep(self, *, task_status: trio.TaskStatus[list[str]]) -> None:
        """Keep one seat taken; `started` gives the URLs when its first worker serves.

        Raises WorkerError when that one does not start, or when all stop and its last one does not end well.
        """
        seat = _Seat()
        pause_s = PAUSES_S[0]
        try:
            with seat.scope:
                while True:
                    began = trio.current_time()
                    try:
                        async with self._open_worker() as worker:
                            if seat not in self._seats:
                                self._seats.append(seat)
                                task_status.started(worker.urls)
                            raise WorkerError(f"A worker ended unasked ({await worker.wait_ended()}).")
                    except WorkerError as error:
                        if seat not in self._seats or self._stopped.is_set():
                            raise
                        if trio.current_time() - began > LONG_LIFE_S:
                            pause_s = PAUSES_S[0]
                        log.error("worker.failed", reason=str(error), again_in_s=pause_s)
                    await trio.sleep(pause_s)
                    pause_s = min(2 * pause_s, PAUSES_S[1])
        finally:
            seat.left.set()

    @asynccontextmanager
    async def _open_worker(self) -> AsyncIterator[Worker]:
        """With the lowest number that is free: one that is being replaced keeps its own."""
        await trio.lowlevel.checkpoint_if_cancelled()  # if so, the listener may be closed already
        number = next(number for number in count() if number not in self._numbers)
        self._numbers.add(number)
        try:
            with self._listener.dup() as listener:
                async with open_worker(self._settings, number, listener, self._hurry) as worker:
                    log.info("worker.serving", worker=number, pid=worker.process.pid)
                    yield worker
        finally:
            self._numbers.remove(number)

    async def run_replacements(self) -> None:
        """At each SIGHUP replace one worker after the other: the old one drains when its successor serves."""
        while True:
            await self._replace.wait()
            self._replace = trio.Event()
            for seat in tuple(self._seats):
                try:
                    await self._nursery.start(self.keep)
                except WorkerError as error:
                    log.error("workers.not_replaced", reason=str(error))
                    break
                self._seats.remove(seat)
                seat.scope.cancel()
                await seat.left.wait()
            else:
                log.info("workers.replaced", workers=len(self._seats))
