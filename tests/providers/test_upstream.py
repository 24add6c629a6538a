"""The socket out when all goes well: requests, reuse, the cap, and that leaving early closes the connection."""

from __future__ import annotations

import pytest
import trio

from app.providers import upstream as module
from app.providers.upstream import Upstream
from tests.providers.asking import ask, call, to_peer, whole
from tests.providers.peer import CHUNKED, OK, Line, chunk


async def test_a_request_goes_out_with_host_length_and_base_path_and_its_answer_comes_in() -> None:
    async with to_peer() as (upstream, peer):
        async with ask(upstream, "/chat?x=1", b"hello") as reply:
            assert reply.status == 200
            assert reply.headers["content-length"] == "2"
            assert await whole(reply) == b"ok"
        head, _, body = peer.requests[0].partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        assert lines[0] == b"post /base/chat?x=1 http/1.1"
        assert b"host: " + peer.url.removeprefix("http://").encode() in lines
        assert b"content-length: 5" in lines
        assert b"x-own: 1" in lines
        assert body == b"hello"


async def test_a_connection_that_was_read_to_its_end_is_used_again() -> None:
    async with to_peer() as (upstream, peer):
        for _ in range(5):
            async with ask(upstream) as reply:
                await whole(reply)
        assert peer.connections == 1


async def test_a_connection_that_was_left_early_is_closed_and_not_used_again() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + chunk(b"one"))
        await line.hold()

    async with to_peer(act) as (upstream, peer):
        async with ask(upstream) as reply:
            assert await reply.receive() == b"one"
        with trio.fail_after(1):
            await peer.hung_up.wait()
        async with ask(upstream):
            assert peer.connections == 2


async def test_a_connection_that_its_peer_closed_meanwhile_is_replaced() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(OK)

    async with to_peer(act) as (upstream, peer):
        for _ in range(3):
            async with ask(upstream) as reply:
                assert await whole(reply) == b"ok"
            await trio.sleep(0.02)
        assert peer.connections == 3


async def test_a_connection_that_idled_too_long_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.03)
    async with to_peer() as (upstream, peer):
        for _ in range(2):
            async with ask(upstream) as reply:
                await whole(reply)
            await trio.sleep(0.05)
        assert peer.connections == 2


@pytest.mark.parametrize("sent", [b"", CHUNKED, CHUNKED + chunk(b"one")], ids=["before the head", "head", "middle"])
async def test_a_cancel_closes_the_socket_at_once(sent: bytes) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(sent) if sent else None
        await line.hold()

    async with to_peer(act) as (upstream, peer):
        with trio.move_on_after(0.05) as scope:
            async with ask(upstream) as reply:
                await whole(reply)
        assert scope.cancelled_caught
        began = trio.current_time()
        with trio.fail_after(1):
            await peer.hung_up.wait()
        assert trio.current_time() - began < 0.05


async def test_no_more_calls_are_in_flight_than_the_cap_allows() -> None:
    open_now, most = 0, 0

    async def act(line: Line) -> None:
        nonlocal open_now, most
        while True:
            await line.request()
            open_now += 1
            most = max(most, open_now)
            await trio.sleep(0.02)
            open_now -= 1
            await line.send(OK)

    async with to_peer(act, max_parallel=3) as (upstream, peer):
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(call, upstream)
        assert (most, len(peer.requests), peer.connections) == (3, 12, 3)


async def test_cancels_under_contention_lose_no_place() -> None:
    async def act(line: Line) -> None:
        while True:
            await line.request()
            await trio.sleep(0.002)
            await line.send(OK)

    async def give_up(upstream: Upstream, after_s: float) -> None:
        with trio.move_on_after(after_s):
            await call(upstream)

    async with to_peer(act, max_parallel=2) as (upstream, _):
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(give_up, upstream, number % 10 * 0.002)
        assert upstream.in_flight == 0
        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(call, upstream)


async def test_an_informational_head_is_not_the_answer() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 102 Processing\r\n\r\n" + OK)

    async with to_peer(act) as (upstream, _), ask(upstream) as reply:
        assert (reply.status, await whole(reply)) == (200, b"ok")


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with to_peer(act) as (upstream, peer):
        for _ in range(2):
            async with ask(upstream) as reply:
                assert await whole(reply) == b"all of it"
        assert peer.connections == 2
