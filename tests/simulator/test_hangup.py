"""A peer that hangs up: seen within 50 ms whatever the simulator is doing, and nothing is generated after it."""

from __future__ import annotations

import socket
import struct

import httpx2
import pytest
import trio
import trio.testing

from tests.simulator.asking import PATHS, Running, chat_body, post, read_until

SEEN_WITHIN_S = 0.05

PHASES = {
    "never answered": ("[mock=hang_headers]", b""),
    "after the headers": ("[mock=hang_headers_after_accept]", b"\r\n\r\n"),
    "waiting for a late error": ("[mock=late_error:5000]", b""),
    "waiting for the first token": ("[first=5000]", b"\r\n\r\n"),
    "between tokens": ("[pace=2]", b"The"),
    "silent in the middle": ("[mock=hang_mid]", b" opens"),
    "an error body without end": ("[mock=5xx_hang_body]", b"\r\n\r\n"),
}


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("phase", PHASES)
async def test_a_hang_up_is_seen_at_once(simulator: Running, phase: str, reset: bool) -> None:
    cue, mark = PHASES[phase]
    async with simulator.dial() as stream:
        await stream.send_all(post(chat_body(f"{cue}[tag=t]", stream=True)))
        await read_until(stream, mark)
        await trio.testing.wait_all_tasks_blocked(0.02)
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        closed = simulator.book.now()
        await trio.aclose_forcefully(stream)
    record = await simulator.ended("t")
    assert record.outcome == "peer_closed"
    assert record.finished is None
    assert record.close_seen is not None
    assert record.close_seen - closed < SEEN_WITHIN_S


async def test_a_hang_up_is_seen_while_sending_to_a_peer_that_does_not_read(simulator: Running) -> None:
    async with simulator.dial() as stream:
        await stream.send_all(post(chat_body("[tokens=200000][tag=t]", stream=True)))
        await trio.testing.wait_all_tasks_blocked(0.05)
        closed = simulator.book.now()
        await trio.aclose_forcefully(stream)
    record = await simulator.ended("t")
    assert record.close_seen is not None
    assert record.close_seen - closed < SEEN_WITHIN_S
    assert 0 < record.tokens_sent < 200_000


async def test_an_extra_byte_before_the_hang_up_hides_nothing(simulator: Running) -> None:
    async with simulator.dial() as stream:
        await stream.send_all(post(chat_body("[first=5000][tag=t]", stream=True)) + b"x")
        await read_until(stream, b"\r\n\r\n")
    assert (await simulator.ended("t")).outcome == "peer_closed"


async def test_half_closing_is_hanging_up(simulator: Running) -> None:
    async with simulator.dial() as stream:
        await stream.send_all(post(chat_body("[first=5000][tag=t]", stream=True)))
        await stream.send_eof()
        assert (await simulator.ended("t")).outcome == "peer_closed"


async def test_tokens_sent_are_those_the_peer_could_have_read(simulator: Running) -> None:
    async with simulator.dial() as stream:
        await stream.send_all(post(chat_body("[pace=100][tokens=1000][tag=t]", stream=True)))
        seen = await read_until(stream, b" ones")
    record = await simulator.ended("t")
    read = seen.count(b'"content":') - 1
    assert 0 <= record.tokens_sent - read <= 5


async def test_a_cancelled_generation_can_be_looked_up(client: httpx2.AsyncClient, simulator: Running) -> None:
    async with simulator.dial() as stream:
        body = chat_body("[pace=50][ids=cut][tag=t]", stream=True)
        await stream.send_all(post(body, PATHS["openrouter"]))
        await read_until(stream, b" opens")
    record = await simulator.ended("t")
    late = await client.get("/openrouter/api/v1/generation", params={"id": "gen-cut"})
    assert late.json()["data"]["cancelled"] is True
    assert late.json()["data"]["tokens_completion"] == record.tokens_sent >= 3


async def test_a_peer_that_sends_far_ahead_is_dropped_and_not_said_to_have_left(simulator: Running) -> None:
    async with simulator.dial() as stream:
        await stream.send_all(post(chat_body("[mock=hang_headers][tag=t]")))
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(5):
            await stream.send_all(b"x" * (64 << 20))
    record = await simulator.ended("t")
    assert (record.outcome, record.close_seen) == ("faulted", None)
