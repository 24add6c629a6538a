"""The stream's own clock, in virtual time: it opens in time, is never silent, and gives up on who does not read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest
import trio
from trio.testing import MockClock

from app.api.exchange import Exchange, Headers
from app.api.recording import Recording
from app.api.stream import Keep, StreamRules, StreamSink, nothing
from app.core.allowance import Allowance
from app.core.chat_stream import ChatWriter
from app.core.deltas import Delta, Usage
from app.core.errors import Problem
from app.core.limits import RateState
from app.usecases.sink import Served

RULES = StreamRules(first_byte_grace_s=0.08, heartbeat_s=10.0, stuck_s=30.0)
ROLE = {"role": "assistant", "content": ""}
NO_USAGE = Usage()


@dataclass
class Wire:
    """Stands in for the exchange: keeps what is sent and when, and takes nothing while `stuck`."""

    began: float = 0.0
    speaks_messages: bool = False
    note: dict[str, object] = field(default_factory=dict)
    recording: Recording | None = None
    head: tuple[Any, int, Headers] | None = None
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    ended: bool = False
    abandoned_at: float | None = None
    _room: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self._room.set()

    async def start(self, status: int, headers: Headers) -> None:
        await self._room.wait()
        assert self.head is None, "a second head"
        self.head = (trio.current_time(), status, headers)

    async def send(self, data: bytes, *, more: bool = True) -> None:
        assert not self.ended, "a byte after the last one"
        await self._room.wait()
        self.sent.append((trio.current_time(), data))
        self.ended = not more

    def abandon(self) -> None:
        self.abandoned_at = trio.current_time()

    def stop_reading(self) -> None:
        self._room = trio.Event()

    def read_again(self) -> None:
        self._room.set()

    @property
    def events(self) -> list[tuple[Any, Any]]:
        """When each event left, and its delta, its error or `[DONE]`."""
        return [(at, _said(block)) for at, data in self.sent for block in data.decode().split("\n\n") if block]


def _said(block: str) -> Any:
    payload = block.removeprefix("data: ")
    if payload == "[DONE]":
        return payload
    event = msgspec.json.decode(payload)
    return event["error"]["code"] if "error" in event else event["choices"][0]["delta"]


@asynccontextmanager
async def a_stream(
    rules: StreamRules = RULES, *, early: bool = True, keep: Keep = nothing
) -> AsyncIterator[tuple[StreamSink, Wire]]:
    """An admitted call's sink at time 0, its clock running."""
    wire = Wire()

    def make_writer(served: Served) -> ChatWriter:
        return ChatWriter(served.id, served.created, served.model, 1, include_usage=False, logprobs=False)

    sink = StreamSink(cast(Exchange, wire), rules, make_writer, keep)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run_clock)
        sink.admitted(Served("chatcmpl-1", "m", 0, Allowance(RateState(True, 0, 60, 59, 0, 0))), early=early)
        yield sink, wire
        nursery.cancel_scope.cancel()


def text(content: str) -> list[Delta]:
    return [Delta(0, content)]


async def test_it_opens_when_the_grace_is_over_whatever_the_provider_does(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await trio.sleep(5)
        assert sink.opened
        assert wire.head is not None
        at, status, headers = wire.head
        assert (at, status) == (pytest.approx(0.08), 200)
        assert dict(headers)[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert dict(headers)[b"x-generation-id"] == b"chatcmpl-1"
        assert wire.events == [(pytest.approx(0.08), ROLE)]


async def test_a_provider_that_accepts_late_in_the_grace_does_not_prolong_it(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await trio.sleep(0.07)
        sink.accepted()
        await trio.sleep(1)
        assert wire.events == [(pytest.approx(0.08), ROLE)]


async def test_content_inside_the_grace_leaves_at_once_with_the_opening(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await trio.sleep(0.03)
        await sink.write(text("Hello"))
        assert wire.events == [(pytest.approx(0.03), ROLE), (pytest.approx(0.03), {"content": "Hello"})]
        assert len(wire.sent) == 1
        await trio.sleep(0.2)
        assert len(wire.sent) == 1


async def test_with_several_models_it_waits_for_the_one_that_accepts(autojump_clock: MockClock) -> None:
    async with a_stream(early=False) as (sink, wire):
        await trio.sleep(20)
        assert wire.head is None
        sink.accepted()
        await trio.sleep(1)
        assert wire.events == [(pytest.approx(20.08), ROLE)]


async def test_silence_is_broken_every_ten_seconds(autojump_clock: MockClock) -> None:
    async with a_stream() as (_, wire):
        await trio.sleep(41)
        assert [at for at, _ in wire.events] == [pytest.approx(at) for at in (0.08, 10.08, 20.08, 30.08, 40.08)]
        assert [delta for _, delta in wire.events[1:]] == [{}, {}, {}, {}]


async def test_content_counts_as_a_sign_of_life(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        for _ in range(5):
            await trio.sleep(9)
            await sink.write(text("x"))
        assert [delta for _, delta in wire.events].count({}) == 0
        await trio.sleep(10.1)
        assert wire.events[-1] == (pytest.approx(55), {})


async def test_a_read_without_text_is_no_sign_of_life(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await sink.write(text("x"))
        for _ in range(4):
            await trio.sleep(3)
            await sink.write([])
        assert [delta for _, delta in wire.events] == [ROLE, {"content": "x"}, {}]


async def test_after_the_end_nothing_more_is_sent(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await sink.write(text("x"))
        await sink.finish({0: "stop"}, NO_USAGE)
        assert [delta for _, delta in wire.events] == [ROLE, {"content": "x"}, {}, "[DONE]"]
        await trio.sleep(100)
        assert wire.ended
        assert len(wire.events) == 4
        assert wire.abandoned_at is None


async def test_an_answer_that_ends_before_it_began_is_whole_all_the_same(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await sink.finish({0: "length"}, NO_USAGE)
        assert [delta for _, delta in wire.events] == [ROLE, {}, "[DONE]"]
        assert wire.ended


async def test_a_failure_after_the_opening_is_the_last_event_without_an_end_mark(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await trio.sleep(1)
        await sink.fail(Problem("upstream_error", "Broken."))
        assert [delta for _, delta in wire.events] == [ROLE, "upstream_error"]
        assert wire.ended
        assert wire.note["code"] == "upstream_error"
        await trio.sleep(100)
        assert len(wire.events) == 2


async def test_content_never_overtakes_an_opening_that_is_slow_to_leave(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire), trio.open_nursery() as nursery:
        wire.stop_reading()
        await trio.sleep(0.1)
        nursery.start_soon(sink.write, text("one"))
        await trio.sleep(1)
        assert wire.sent == []
        wire.read_again()
        await trio.sleep(0.1)
        assert [delta for _, delta in wire.events] == [ROLE, {"content": "one"}]


async def test_while_a_piece_is_being_sent_no_heartbeat_queues_up_behind_it(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire), trio.open_nursery() as nursery:
        await sink.write(text("one"))
        wire.stop_reading()
        nursery.start_soon(sink.write, text("two"))
        await trio.sleep(25)
        wire.read_again()
        await trio.sleep(0.1)
        assert [delta for _, delta in wire.events] == [ROLE, {"content": "one"}, {"content": "two"}]
        await trio.sleep(10)
        assert wire.events[-1][1] == {}


@pytest.mark.parametrize("ending", [False, True], ids=["in the middle", "at the last piece"])
async def test_a_client_that_does_not_read_is_given_up(autojump_clock: MockClock, ending: bool) -> None:
    async with a_stream() as (sink, wire), trio.open_nursery() as nursery:
        await sink.write(text("one"))
        await trio.sleep(5)
        wire.stop_reading()
        if ending:
            nursery.start_soon(sink.finish, {0: "stop"}, NO_USAGE)
        else:
            nursery.start_soon(sink.write, text("two"))
        await trio.sleep(60)
        assert wire.abandoned_at is not None
        assert 35 <= wire.abandoned_at <= 45
        nursery.cancel_scope.cancel()


async def test_a_slow_reader_is_not_given_up(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        for _ in range(10):
            wire.stop_reading()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sink.write, text("x"))
                await trio.sleep(20)
                wire.read_again()
        assert wire.abandoned_at is None
        assert [delta for _, delta in wire.events].count({"content": "x"}) == 10


async def test_it_counts_its_signs_of_life(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, _):
        await sink.write(text("hi"))
        await trio.sleep(RULES.heartbeat_s * 3.5)
        assert sink.heartbeats == 3


async def test_it_counts_how_long_its_client_kept_it_waiting(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        await sink.write(text("at once"))
        assert sink.blocked_s == 0
        wire.stop_reading()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sink.write, text("late"))
            await trio.sleep(4)
            wire.read_again()
        assert sink.blocked_s == pytest.approx(4)


async def test_between_what_is_stored_of_an_answer_and_its_end_nothing_is_sent(autojump_clock: MockClock) -> None:
    async with a_stream(keep=lambda finishes, usage: lambda db, ending: None) as (sink, wire):
        await sink.write(text("Hello"))
        assert await sink.settling({0: "stop"}, NO_USAGE) is not None
        await trio.sleep(35)
        assert len(wire.sent) == 1
        await sink.finish({0: "stop"}, NO_USAGE)
        assert (len(wire.sent), wire.ended) == (2, True)


async def test_an_answer_that_is_stored_has_begun_before(autojump_clock: MockClock) -> None:
    async with a_stream(keep=lambda finishes, usage: lambda db, ending: None) as (sink, wire):
        await sink.settling({0: "stop"}, NO_USAGE)
        assert [said for _, said in wire.events] == [ROLE]


async def test_an_answer_that_is_not_stored_need_not_have_begun_to_be_settled(autojump_clock: MockClock) -> None:
    async with a_stream() as (sink, wire):
        assert await sink.settling({0: "stop"}, NO_USAGE) is None
        assert wire.sent == []
