"""Playing a script on a socket that only remembers, in virtual time."""

from __future__ import annotations

import h11
import pytest
import trio
import trio.testing

from scripts.simulator.book import Book, Record
from scripts.simulator.player import Player
from scripts.simulator.script import Script, Step
from tests.simulator.asking import a_record, asker, chat_body, post


class Memory:
    """Takes `room` bytes and then no more, until cancelled; remembers each write and its time."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.writes: list[tuple[float, bytes]] = []
        self._room = room

    async def send(self, data: bytes, /) -> int:
        await trio.lowlevel.checkpoint()
        taken = data[: self._room]
        if not taken:
            await trio.sleep_forever()
        self._room -= len(taken)
        self.writes.append((trio.current_time(), taken))
        return len(taken)


async def play(script: Script, memory: Memory) -> Record:
    """Play to the end, or for 10 s; the record as it is then."""
    http = h11.Connection(h11.SERVER)
    http.receive_data(post({}))
    while not isinstance(http.next_event(), h11.EndOfMessage):
        pass
    record, book = a_record(), Book()
    book.begin()
    with trio.move_on_after(10):
        await Player(memory, http, record, book).play(script)
    return record


def stream(text: str) -> Script:
    return asker()(chat_body(text, stream=True))[0]


async def test_without_pace_the_answer_is_one_write(autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory()
    record = await play(stream("[tokens=30]"), memory)
    ((at, data),) = memory.writes
    assert data.startswith(b"HTTP/1.1 200 OK")
    assert data.endswith(b"0\r\n\r\n")
    assert (at - trio.current_time(), record.tokens_sent, record.finished) == (0, 30, 0)


async def test_pace_and_first_token_are_kept_to_the_millisecond(autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory()
    start = trio.current_time()
    record = await play(stream("[tokens=4][pace=50][first=300]"), memory)
    assert [at - start for at, _ in memory.writes] == pytest.approx([0, 0.3, 0.32, 0.34, 0.36])
    assert [data.count(b'"content"') for _, data in memory.writes] == [0, 2, 1, 1, 1]
    assert record.headers_sent == 0
    assert (record.first_byte, record.finished) == pytest.approx((0.3, 0.36))


async def test_a_write_that_stalls_counts_only_the_tokens_that_left(autojump_clock: trio.testing.MockClock) -> None:
    steps = [Step(b"a" * 100, tokens=1), Step(b"b" * 100, tokens=2), Step(b"c" * 100, tokens=4, usage={"n": 7})]
    whole = Memory()
    await play(Script(steps=steps), whole)
    head = whole.writes[0][1].index(b"a" * 100)
    counted = []
    for room in (head + 99, head + 100, head + 299, head + 300):
        record = await play(Script(steps=steps), Memory(room))
        counted.append((record.tokens_sent, record.usage_sent))
    assert counted == [(0, None), (1, None), (3, None), (7, {"n": 7})]


async def test_bytewise_means_a_write_for_each_byte(autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory()
    await play(Script(steps=[Step("é!".encode(), tokens=1)], bytewise=True), memory)
    bodies = [data for _, data in memory.writes[1:]]
    assert bodies == [b"1\r\n\xc3\r\n", b"1\r\n\xa9\r\n", b"1\r\n!\r\n", b"0\r\n\r\n"]


async def test_a_silent_script_sends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory()
    record = await play(Script(silent=True, ending="hang", fault=True), memory)
    assert (memory.writes, record.status, record.headers_sent) == ([], None, None)
