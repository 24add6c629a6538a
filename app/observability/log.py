"""What every log line says besides its event: which process wrote it, and for which request.

Content is never logged: neither here nor anywhere is there a field for prompts or answers, and no key can ask for one.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TextIO

from app.observability.trace import NO_TRACE, Trace

#: The request that this task, and every task it starts, works for.
_request: ContextVar[tuple[str, Trace]] = ContextVar("request", default=("", NO_TRACE))


def begin_request(request_id: str, trace: Trace) -> None:
    """From now on the lines of this task carry these ids. A request has a task of its own, so nothing is undone."""
    _request.set((request_id, trace))


def replica_name() -> str:
    """The host and the process, such as `gateway-2/1`."""
    return f"{os.environ.get('HOSTNAME') or socket.gethostname()}/{os.getpid()}"


def process_names(worker: int | None = None) -> dict[str, Any]:
    """What tells this process from the others; `worker` is its number where there are several."""
    return {"replica": replica_name()} | ({} if worker is None else {"worker": worker})


class Unbreakable(io.TextIOBase):
    """A text stream whose reader may go away: a line that cannot be written is lost, never an error of who logs it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._out.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._out.flush()


class AddNames:
    """A structlog processor: the names of the process, then the ids of the request. What a line says itself wins."""

    def __init__(self, process: Mapping[str, Any]) -> None:
        self._process = process

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        request_id, trace = _request.get()
        about = {**self._process, **({"request_id": request_id} if request_id else {}), **trace.ids()}
        for name, value in about.items():
            event.setdefault(name, value)
        return event
