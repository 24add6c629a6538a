"""The load: a number of lines that each ask one call after the other, on one thread and one selector.

A line is a keep-alive connection. All lines begin at once; when the time is up no call begins any more and those that
run are heard out for a while, so that slow answers count as much as quick ones.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from scripts.bench.questions import HOST
from scripts.bench.responses import EventReader, ResponseReader, StreamReader

_READ_BYTES: Final = 64 * 1024
_SAMPLE: Final = 300


@dataclass(frozen=True, slots=True)
class Load:
    """`request` gives the bytes of a line's nth call. Calls that still run `grace_s` after the time are errors.

    Lines are dealt out to the ports in turn. `clock` gives the time in seconds.
    """

    ports: Sequence[int]
    request: Callable[[int, int], bytes]
    lines: int
    seconds: float
    streamed: bool
    grace_s: float = 15.0
    reader: Callable[[], EventReader] = StreamReader
    clock: Callable[[], float] = perf_counter


@dataclass(slots=True)
class Tally:
    """What came of it; times in seconds. `waits` are for whole answers, or for first tokens when streamed.

    A call that never showed a token counts as an error and with the time it waited: too short, never too long.
    """

    calls: int = 0
    errors: int = 0
    tokens: int = 0
    tokens_in_time: int = 0
    waits: list[float] = field(default_factory=list)
    burst_waits: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    first_error: str | None = None

    def fail(self, why: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or why[:_SAMPLE]


def run_load(load: Load) -> Tally:
    """Ask for `load.seconds`, then hear out what runs. Raises OSError when the server takes no connection."""
    tally = Tally()
    lines: list[_Line] = []
    with selectors.DefaultSelector() as selector:
        try:
            lines.extend(_Line(load, index, tally, selector) for index in range(load.lines))
            _ask_and_hear(load, lines, selector)
        finally:
            for line in lines:
                line.close()
    return tally


def _ask_and_hear(load: Load, lines: list[_Line], selector: selectors.BaseSelector) -> None:
    end = load.clock() + load.seconds
    for line in lines:
        line.ask(end)
    running = len(lines)
    while running and (left := end + load.grace_s - load.clock()) > 0:
        for key, _ in selector.select(left):
            line = key.data
            if not line.hear():
                continue
            if load.clock() < end:
                line.ask(end)
            else:
                running -= 1
    for line in lines:
        line.give_up()


@dataclass(slots=True)
class _Call:
    """A call that runs; tokens after `end` do not count for the rate."""

    asked: float
    end: float
    burst: bool
    http: ResponseReader = field(default_factory=ResponseReader)
    stream: EventReader = field(default_factory=StreamReader)
    sample: bytes = b""
    last_token: float | None = None

    def take(self, body: bytes, now: float, tally: Tally) -> None:
        """Tokens of a stream."""
        count = self.stream.feed(body)
        if not count:
            return
        self.waited(now, tally)
        if self.last_token is not None:
            tally.gaps.append(now - self.last_token)
        tally.gaps.extend([0.0] * (count - 1))
        self.last_token = now
        tally.tokens += count
        if now < self.end:
            tally.tokens_in_time += count

    def waited(self, now: float, tally: Tally) -> None:
        """The wait for the first token ends, unless it has ended."""
        if self.last_token is None:
            tally.waits.append(now - self.asked)
            if self.burst:
                tally.burst_waits.append(now - self.asked)

    def fault(self, *, streamed: bool) -> str | None:
        """Why the answer, heard to its end, is no good answer."""
        if not self.http.done:
            return "the connection closed before the answer's end"
        if self.http.status != 200:
            return f"status {self.http.status}: {self.sample.decode(errors='replace')}"
        if streamed and (self.stream.error or not self.stream.done or self.last_token is None):
            return self.stream.error or "the stream ended without text or without its end mark"
        return None


class _Line:
    """One connection and the call that runs on it, if any."""

    def __init__(self, load: Load, index: int, tally: Tally, selector: selectors.BaseSelector) -> None:
        self._load = load
        self._index = index
        self._tally = tally
        self._selector = selector
        self._turn = 0
        self._call: _Call | None = None
        self._open()

    def _open(self) -> None:
        port = self._load.ports[self._index % len(self._load.ports)]
        self._sock = socket.create_connection((HOST, port), timeout=10)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._sock, selectors.EVENT_READ, self)

    def close(self) -> None:
        self._selector.unregister(self._sock)
        self._sock.close()

    def ask(self, end: float) -> None:
        """Begin the next call. A connection that is found closed shows it at the next `hear`."""
        payload = self._load.request(self._index, self._turn)
        self._call = _Call(self._load.clock(), end, burst=self._turn == 0, stream=self._load.reader())
        self._turn += 1
        with suppress(OSError):
            self._sock.sendall(payload)

    def hear(self) -> bool:
        """Read what has come; True when the running call has ended by it."""
        try:
            data = self._sock.recv(_READ_BYTES)
        except OSError:
            data = b""
        call, load = self._call, self._load
        now = load.clock()
        if call is not None and data:
            body = call.http.feed(data)
            if body and load.streamed and call.http.status == 200:
                call.take(body, now, self._tally)
            else:
                call.sample = call.sample or body[:_SAMPLE]
            if not call.http.done:
                return False
        self._call = None
        if call is not None:
            self._judge(call, now)
        if not data or (call is not None and not call.http.keeps_open):
            self.close()
            self._open()
        return call is not None

    def give_up(self) -> None:
        """The load is over: a call that still runs has failed."""
        if self._call is not None:
            if self._load.streamed:
                self._call.waited(self._load.clock(), self._tally)
            self._tally.fail("no end of the answer before the load was over")

    def _judge(self, call: _Call, now: float) -> None:
        fault = call.fault(streamed=self._load.streamed)
        if fault is not None:
            self._tally.fail(fault)
            return
        self._tally.calls += 1
        if not self._load.streamed:
            self._tally.waits.append(now - call.asked)
