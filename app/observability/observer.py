"""What a gateway is watched by: the one thing that requests and calls tell when they begin and when they are over."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
import trio

from app.core.errors import error_places
from app.observability.facts import CallFacts, RequestFacts
from app.observability.log import begin_request
from app.observability.metrics import Metrics
from app.observability.trace import NO_TRACE, Trace, continued, new_trace

if TYPE_CHECKING:
    from app.observability.otel import Otel

WRITE_EVERY_S: Final = 0.25
#: How many are written down before other tasks have their turn.
AT_ONCE: Final = 32
MISSING: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages for it are not installed. "
    "Install the extra `otel` (`pip install -r requirements-otel.lock`), or unset it."
)
log = structlog.get_logger(__name__)


class MissingExtra(Exception):
    """A setting asks for packages that are not there; the text says which."""


class Observer:
    """Metrics always, traces when there is somewhere to send them. It never raises into what it watches.

    What it is told it writes down later, many at a time: amid the work of a call each line of code is a cold one, and
    the same additions take several times as long.
    """

    def __init__(self, metrics: Metrics | None = None, otel: Otel | None = None) -> None:
        self.metrics = metrics or Metrics()
        self._otel = otel
        self._told: deque[CallFacts | RequestFacts] = deque()
        #: Requests being answered.
        self.active = 0

    def request_began(self, request_id: str, traceparent: bytes | None) -> Trace:
        """Its place in a trace; the log lines of this task carry both from now on."""
        self.active += 1
        trace = NO_TRACE if traceparent is None else continued(traceparent)
        if self._otel is not None and not trace.trace_id:
            trace = new_trace()
        begin_request(request_id, trace)
        return trace

    def request_ended(self, request: RequestFacts) -> None:
        self.active -= 1
        self._told.append(request)

    def call_ended(self, call: CallFacts) -> None:
        """An admitted call has its ending, or never will here."""
        self._told.append(call)

    async def run(self) -> None:
        """Write down what was told, four times a second."""
        while True:
            await trio.sleep(WRITE_EVERY_S)
            while self._told:
                self.write_down(AT_ONCE)
                await trio.lowlevel.checkpoint()

    def write_down(self, most: int | None = None) -> None:
        """All of what was told, or as many as `most`, now: before figures are shown, and at the end."""
        for _ in range(len(self._told) if most is None else min(most, len(self._told))):
            facts = self._told.popleft()
            try:
                self._write(facts)
            except Exception as error:  # noqa: BLE001 - a figure is lost, a gateway must not be
                log.error("observability.failed", errors=error_places(error))

    def _write(self, facts: CallFacts | RequestFacts) -> None:
        if isinstance(facts, CallFacts):
            self.metrics.call_ended(facts)
            if self._otel is not None:
                self._otel.call_ended(facts)
        else:
            self.metrics.request_ended(facts)
            if self._otel is not None:
                self._otel.request_ended(facts)


@asynccontextmanager
async def open_observer(otlp_endpoint: str) -> AsyncIterator[Observer]:
    """For the length of the gateway; at the end the last traces are sent. Raises MissingExtra."""
    if not otlp_endpoint:
        yield Observer()
        return
    try:
        from app.observability.otel import open_otel  # noqa: PLC0415 - its packages are an extra
    except ImportError:
        raise MissingExtra(MISSING) from None
    async with open_otel() as otel:
        observer = Observer(otel=otel)
        try:
            yield observer
        finally:
            observer.write_down()
