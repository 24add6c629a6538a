"""Where a chat answer goes: an SSE stream that opens in time and never falls silent, or one JSON body."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import trio

from app.api.exchange import Exchange, Headers
from app.core import messages_errors
from app.core.accumulate import Accumulator
from app.core.deltas import Delta, Usage
from app.core.errors import Problem
from app.core.identity import now_us
from app.core.writer import StreamWriter
from app.usecases.settling import Beside, both
from app.usecases.sink import Served

NEVER: Final = float("inf")
#: A shorter send has not waited for its client.
BLOCKED_S: Final = 0.001
EVENT_STREAM: Final[Headers] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
#: What to store of a whole answer.
Keep = Callable[[Mapping[int, str], Usage], Beside | None]


def nothing(_finishes: Mapping[int, str], _usage: Usage) -> Beside | None:
    """Most answers are not stored."""
    return None


@dataclass(frozen=True, slots=True)
class StreamRules:
    """Seconds: until the answer begins in any case, between signs of life, and for a client that does not read."""

    first_byte_grace_s: float = 0.08
    heartbeat_s: float = 10.0
    stuck_s: float = 30.0


def served_headers(served: Served, exchange: Exchange) -> Headers:
    """What a reply tells about its call (spec.md section 18)."""
    headers = [
        (b"x-generation-id", served.id.encode()),
        (b"x-cm-attempts", str(served.attempts).encode()),
        (b"openai-processing-ms", str(int((trio.current_time() - exchange.began) * 1000)).encode()),
    ]
    named, dropped = served.allowance.headers(), served.dropped
    if exchange.speaks_messages:
        named |= messages_errors.rate_headers(served.allowance.rate, now_us())
        dropped = messages_errors.own_names(dropped)
    headers += [(name.encode(), value.encode()) for name, value in named.items()]
    if served.provider:
        headers.append((b"x-cm-provider", served.provider.encode()))
    if dropped:
        headers.append((b"x-cm-dropped-params", ", ".join(dropped).encode()))
    return headers


class StreamSink:
    """A `ChatSink` that writes events as they come.

    `run_clock` is a task beside the call's: it opens the stream when the grace is over, shows a sign of life after each
    silence, and gives up on a client that does not read. `keep` gives what is to be stored of the answer (see
    `ChatSink.settling`); nothing is sent between that and the end.
    """

    def __init__(
        self,
        exchange: Exchange,
        rules: StreamRules,
        make_writer: Callable[[Served], StreamWriter],
        keep: Keep = nothing,
    ) -> None:
        self.opened = False
        self.holds_back = False
        self.heartbeats = 0
        #: Seconds in which a piece waited for a client that reads slowly.
        self.blocked_s = 0.0
        self._exchange = exchange
        self._rules = rules
        self._make_writer = make_writer
        self._keep = keep
        self._quiet = False
        self._writer: StreamWriter
        self._served: Served
        self._opening: trio.Event | None = None
        self._sending_since = NEVER
        self._last_sent = 0.0
        self._ended = False
        #: The last events, if they were needed before they are sent, and the writer as it was before.
        self._closing: bytes | None = None
        self._unclosed: StreamWriter | None = None
        self._ring_at = NEVER
        self._sleep = trio.CancelScope()

    async def run_clock(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._ring_at) as self._sleep:
                await trio.sleep_forever()
            self._ring_at = NEVER
            self._set_clock(await self._ring())

    def admitted(self, served: Served, *, early: bool) -> None:
        self._served = served
        self._exchange.note["call"] = served.id
        if early:
            self._open_in_time()

    def accepted(self) -> None:
        if not self.opened:
            self._open_in_time()

    async def write(self, deltas: Sequence[Delta]) -> None:
        if not self.opened:
            await self._open(deltas)
            return
        if self._opening is not None:
            await self._opening.wait()
        await self._send(self._writer.write(deltas))

    async def settling(self, finishes: Mapping[int, str], usage: Usage) -> Beside | None:
        recording = self._exchange.recording
        if self._keep is nothing and recording is None:
            return None
        await self._begun()
        self._quiet = True
        if recording is None:
            return self._keep(finishes, usage)
        self._unclosed = deepcopy(self._writer)
        kept = self._keep(finishes, usage)
        self._closing = self._writer.close(finishes, usage)
        return both(kept, recording.stream(self._closing))

    async def finish(self, finishes: Mapping[int, str], usage: Usage) -> None:
        await self._begun()
        await self._end(self._writer.close(finishes, usage) if self._closing is None else self._closing)

    async def fail(self, problem: Problem) -> None:
        """The honest in-band error of an answer that has begun."""
        if self._opening is not None:
            await self._opening.wait()
        self._exchange.note["code"] = problem.code
        await self._end((self._unclosed or self._writer).error(problem))

    async def _begun(self) -> None:
        if not self.opened:
            await self._open(())
        elif self._opening is not None:
            await self._opening.wait()

    def _set_clock(self, at: float) -> None:
        """Ring at `at` if that is sooner than what is set."""
        self._ring_at = min(at, self._ring_at)
        self._sleep.deadline = self._ring_at

    def _open_in_time(self) -> None:
        self._set_clock(trio.current_time() + self._rules.first_byte_grace_s)

    async def _ring(self) -> float:
        """Do what is due; returns when to look again."""
        now = trio.current_time()
        if self._sending_since + self._rules.stuck_s <= now:
            self._exchange.abandon()
            return NEVER
        if not self.opened:
            await self._open(())
        elif self._ended:
            return self._sending_since + self._rules.stuck_s
        elif self._last_sent + self._rules.heartbeat_s <= now and self._sending_since == NEVER and not self._quiet:
            self.heartbeats += 1
            await self._send(self._writer.heartbeat())
        return min(self._next_heartbeat(), self._sending_since + self._rules.stuck_s)

    def _next_heartbeat(self) -> float:
        """While a piece is being sent there is no silence, and none is broken before the end; look again later."""
        since = self._last_sent if self._sending_since == NEVER and not self._quiet else trio.current_time()
        return since + self._rules.heartbeat_s

    async def _open(self, deltas: Sequence[Delta]) -> None:
        self.opened = True
        opening = self._opening = trio.Event()
        self._writer = self._make_writer(self._served)
        first = self._writer.open()
        if deltas:
            first += self._writer.write(deltas)
        self._last_sent = trio.current_time()
        headers = [*EVENT_STREAM, *served_headers(self._served, self._exchange)]
        if self._exchange.recording is not None:
            self._exchange.recording.begin(headers)
        try:
            await self._exchange.start(200, headers)
            await self._send(first)
        finally:
            opening.set()
            self._opening = None
        self._set_clock(self._last_sent + min(self._rules.heartbeat_s, self._rules.stuck_s))

    async def _send(self, data: bytes) -> None:
        if not data or self._ended:
            return
        if self._exchange.recording is not None:
            self._exchange.recording.add(data)
        self._sending_since = trio.current_time()
        await self._exchange.send(data)
        self._last_sent = trio.current_time()
        if (took_s := self._last_sent - self._sending_since) > BLOCKED_S:
            self.blocked_s += took_s
        self._sending_since = NEVER

    async def _end(self, data: bytes) -> None:
        self._ended = True
        self._sending_since = trio.current_time()
        self._set_clock(self._sending_since + self._rules.stuck_s)
        await self._exchange.send(data, more=False)
        self._sending_since = NEVER


class JsonSink:
    """A `ChatSink` that folds the answer into one completion and sends it when the call is settled."""

    def __init__(self, exchange: Exchange, choices: int, *, logprobs: bool) -> None:
        self.opened = False
        self.holds_back = True
        self._exchange = exchange
        self._choices = choices
        self._logprobs = logprobs
        self._folded = Accumulator(logprobs=logprobs)
        self._served: Served
        self._body = b""

    def admitted(self, served: Served, *, early: bool) -> None:
        self._served = served
        self._exchange.note["call"] = served.id

    def accepted(self) -> None:
        self._folded = Accumulator(logprobs=self._logprobs)

    async def write(self, deltas: Sequence[Delta]) -> None:
        self._folded.add(deltas)

    async def settling(self, finishes: Mapping[int, str], usage: Usage) -> Beside | None:
        served, recording = self._served, self._exchange.recording
        self._body = self._folded.completion(served.id, served.created, served.model, finishes, usage, self._choices)
        return None if recording is None else recording.json(self._body, served_headers(served, self._exchange))

    async def finish(self, finishes: Mapping[int, str], usage: Usage) -> None:
        await self._exchange.reply_json(self._body, served_headers(self._served, self._exchange))
