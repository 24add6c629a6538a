"""A chat answer as one JSON body, folded by the same writer that would have streamed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from app.api.exchange import Exchange
from app.api.stream import Keep, nothing, served_headers
from app.core.deltas import Delta, Usage
from app.core.writer import WholeWriter
from app.usecases.settling import Beside, both
from app.usecases.sink import Served


class WholeSink:
    """A `ChatSink` that sends nothing before the call is settled. `keep` as in `StreamSink`."""

    def __init__(self, exchange: Exchange, make_writer: Callable[[Served], WholeWriter], keep: Keep = nothing) -> None:
        self.opened = False
        self.holds_back = True
        self._exchange = exchange
        self._make_writer = make_writer
        self._keep = keep
        self._writer: WholeWriter
        self._served: Served
        self._body = b""

    def admitted(self, served: Served, *, early: bool) -> None:
        self._served = served
        self._exchange.note["call"] = served.id

    def accepted(self) -> None:
        self._writer = self._make_writer(self._served)
        self._writer.open()

    async def write(self, deltas: Sequence[Delta]) -> None:
        self._writer.write(deltas)

    async def settling(self, finishes: Mapping[int, str], usage: Usage) -> Beside | None:
        kept, recording = self._keep(finishes, usage), self._exchange.recording
        self._body = self._writer.whole(finishes, usage)
        if recording is None:
            return kept
        return both(kept, recording.json(self._body, served_headers(self._served, self._exchange)))

    async def finish(self, finishes: Mapping[int, str], usage: Usage) -> None:
        await self._exchange.reply_json(self._body, served_headers(self._served, self._exchange))
