"""The load: a number of lines that each ask one call after the other, on one thread and one epoll.

A line is a keep-alive connection. All lines begin at once; when the time is up no call begins any more and those that
run are heard out for a while, so that slow answers count as much as quick ones.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

from scripts.bench.questions import HOST
from scripts.bench.responses import ResponseReader, StreamReader

_READ_BYTES: Final = 64 * 1024
_SAMPLE_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Load:
    """`request` gives the bytes of a line's nth call. Calls still running `grace_s` after the time are errors."""

    port: int
    request: Callable[[int, int], bytes]
    lines: int
    seconds: float
    streamed: bool
    grace_s: float = 15.0


@dataclass(slots=True)
class Tally:
    """What came of it, in seconds. `waits` are whole answers, or first tokens when streamed.

    A call that never showed a token waits until the load ends: its wait is then too short, never too long.
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
        self.first_error = self.first_error or why[:_SAMPLE_CHARS]


def run_load(load: Load) -> Tally:
    """Ask for `load.seconds`, then hear out what runs. Raises OSError when the server cannot be reached (again)."""
    tally = Tally()
    with selectors.DefaultSelector() as selector:
        lines = [_Line(load, index, tally, selector) for index in range(load.lines)]
        try:
            _ask_and_hear(load, lines, selector)
        finally:
            for line in lines:
                line.close()
    return tally


def _ask_and_hear(load: Load, lines: list[_Line], selector: selectors.BaseSelector) -> None:
    end = perf_counter() + load.seconds
    for line in lines:
        line.ask(end)
    running = len(lines)
    while running and (left := end + load.grace_s - perf_counter()) > 0:
        for key, _ in selector.select(left):
            line = key.data
            if not line.hear():
                continue
            if perf_counter() < end:
                line.ask(end)
            else:
                running -= 1
    for line in lines:
        line.give_up()


class _Line:
    """One connection and the call that runs on it."""

    def __init__(self, load: Load, index: int, tally: Tally, selector: selectors.BaseSelector) -> None:
        self._load = load
        self._index = index
        self._tally = tally
        self._selector = selector
        self._turn = -1
        self._running = False
        self._open()

    def _open(self) -> None:
        self._sock = socket.create_connection((HOST, self._load.port), timeout=10)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._sock, selectors.EVENT_READ, self)

    def close(self) -> None:
        self._selector.unregister(self._sock)
        self._sock.close()

    def ask(self, end: float) -> None:
        """Begin the next call; tokens after `end` do not count for the rate."""
        self._turn += 1
        self._end = end
        self._http = ResponseReader()
        self._stream = StreamReader()
        self._sample = b""
        self._last_token: float | None = None
        self._running = True
        payload = self._load.request(self._index, self._turn)
        self._asked = perf_counter()
        self._sock.sendall(payload)

    def hear(self) -> bool:
        """Read what has come; True when the call has ended."""
        try:
            data = self._sock.recv(_READ_BYTES)
        except OSError:
            data = b""
        now = perf_counter()
        if data:
            body = self._http.feed(data)
            if body:
                self._take(body, now)
            if not self._http.done:
                return False
        was_running, self._running = self._running, False
        if was_running:
            self._judge(now)
        if not data or not self._http.keeps_open:
            self.close()
            self._open()
        return was_running

    def give_up(self) -> None:
        """The load is over: a call that still runs has failed."""
        if self._running:
            self._note_wait(perf_counter())
            self._tally.fail("no end of the answer before the load was over")

    def _take(self, body: bytes, now: float) -> None:
        if not self._load.streamed or self._http.status != 200:
            self._sample = self._sample or body[:_SAMPLE_CHARS]
            return
        count = self._stream.feed(body)
        if not count:
            return
        self._note_wait(now)
        if self._last_token is not None:
            self._tally.gaps.append(now - self._last_token)
        self._tally.gaps.extend([0.0] * (count - 1))
        self._last_token = now
        self._tally.tokens += count
        if now < self._end:
            self._tally.tokens_in_time += count

    def _note_wait(self, now: float) -> None:
        """The wait for the first token ends now, unless it has ended."""
        if self._load.streamed and self._last_token is None:
            self._tally.waits.append(now - self._asked)
            if self._turn == 0:
                self._tally.burst_waits.append(now - self._asked)

    def _judge(self, now: float) -> None:
        http, stream = self._http, self._stream
        if not http.done:
            self._tally.fail("the connection closed before the answer's end")
        elif http.status != 200:
            self._tally.fail(f"status {http.status}: {self._sample.decode(errors='replace')}")
        elif self._load.streamed and (stream.error or not stream.done or self._last_token is None):
            self._tally.fail(stream.error or "the stream ended without text or without [DONE]")
        else:
            self._tally.calls += 1
            if not self._load.streamed:
                self._tally.waits.append(now - self._asked)
