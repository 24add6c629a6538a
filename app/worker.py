"""One worker of many: the gateway on a socket that another process bound, and that process's hand on it.

Both sides hold an end of a socket pair, the link. Over it the worker says that it serves, and its end tells either side
that the other is gone, be it by kill -9. Settings, with their secrets, go by the environment and never by arguments.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple, dataclass
from typing import Final

import msgspec
import structlog
import trio

from app.commands import Mendable
from app.config import FIELDS, Settings
from app.main import run_until_signal

START_S: Final = 60.0
#: What a worker may take for its end besides the time for its requests.
END_S: Final = 10.0
ENDED_WELL: Final = (0, -signal.SIGTERM)  # asked to end, before it listened for signals or after
SETTINGS: Final = frozenset(name for name, *_ in FIELDS)


class WorkerError(Mendable):
    """A worker did not start, or did not end well. What it said itself is on standard error."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is given: a number that no other living one has, and two descriptors."""

    number: int
    listener: int
    link: int


async def run_worker(settings: Settings, place: Place) -> None:
    """The gateway on the socket it is given, until a signal or until its supervisor is gone: then it drains."""
    structlog.contextvars.bind_contextvars(worker=place.number)
    with socket.socket(fileno=place.link) as link:

        def tell(urls: list[str]) -> None:
            with suppress(OSError):  # the supervisor is gone; whoever watches the link sees it
                link.sendall(msgspec.json.encode(urls) + b"\n")

        async def gone() -> None:
            await trio.lowlevel.wait_readable(link)

        listener = socket.socket(fileno=place.listener)
        await run_until_signal(settings, tell, sockets=(listener,), worker=place.number, until=gone)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that serves `urls`."""

    urls: list[str]
    process: trio.Process

    async def wait_ended(self) -> str:
        """How it ended."""
        await self.process.wait()
        return _how(self.process)


@asynccontextmanager
async def open_worker(
    settings: Settings, number: int, listener: socket.socket, hurry: trio.Event
) -> AsyncIterator[Worker]:
    """A worker that serves; leaving the block, or a cancel, drains it, at once when `hurry` is set.

    Raises WorkerError when it ends before it serves, or has to be killed, or ends badly, while it is drained.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await _start(settings, Place(number, listener.fileno(), theirs.fileno()))
        try:
            yield Worker(await _ready(process, ours), process)
        finally:
            await _drain(process, settings.drain_grace_s + settings.drain_s + END_S, hurry)


async def _start(settings: Settings, place: Place) -> trio.Process:
    """Ctrl-C in a terminal must reach the supervisor alone, so each worker has a process group of its own."""
    around = {name: text for name, text in os.environ.items() if name not in SETTINGS}
    return await trio.lowlevel.open_process(
        [sys.executable, "-m", "app", "serve", "--worker", *map(str, astuple(place))],
        stdin=subprocess.DEVNULL,
        env={**around, **settings.environment()},
        pass_fds=(place.listener, place.link),
        process_group=0,
    )


async def _ready(process: trio.Process, link: socket.socket) -> list[str]:
    """The URLs, once the worker has said them."""
    told = b""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(link))
    with trio.move_on_after(START_S):
        while data := await stream.receive_some():
            told += data
            if told.endswith(b"\n"):
                return msgspec.json.decode(told, type=list[str])
        await process.wait()
        raise WorkerError(f"A worker ended before it was ready ({_how(process)}); what it said is above.")
    raise WorkerError(f"A worker was not ready after {START_S:g} s.")


async def _drain(process: trio.Process, within_s: float, hurry: trio.Event) -> None:
    """Ask it to end, ask again when `hurry` is set, and end it by force when the time is up. Not cancellable."""
    if process.poll() is not None:
        return
    process.terminate()
    with trio.CancelScope(shield=True, deadline=trio.current_time() + within_s):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_terminate_after, hurry, process)
            await process.wait()
            nursery.cancel_scope.cancel()
    if process.poll() is None:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        raise WorkerError(f"A worker did not end within {within_s:g} s and was killed.")
    if process.returncode not in ENDED_WELL:
        raise WorkerError(f"A worker ended badly ({_how(process)}); what it said is above.")


async def _terminate_after(event: trio.Event, process: trio.Process) -> None:
    await event.wait()
    process.terminate()


def _how(process: trio.Process) -> str:
    code = process.returncode or 0
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
