"""The socket out: reuse, the cap, every deadline by its name, and that leaving early closes the connection."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from app.core.errors import UpstreamError
from app.providers import upstream as module
from app.providers.deadlines import Deadlines
from app.providers.upstream import Reply, Upstream
from tests.certificate import self_signed
from tests.providers.peer import CHUNKED, OK, Act, Line, Peer, chunk, open_peer

FAST: dict[str, float] = {"gap_s": 0.1, "total_s": 5.0, "error_body_s": 0.1, "connect_s": 0.2}


@asynccontextmanager
async def to_peer(act: Act | None = None, *, max_parallel: int = 4, **deadlines: float) -> AsyncIterator[tuple[Upstream, Peer]]:
    async with open_peer(act) if act else open_peer() as peer:
        upstream = Upstream(f"{peer.url}/base/", max_parallel=max_parallel, deadlines=Deadlines(**{**FAST, **deadlines}))
        yield upstream, peer
        assert upstream.in_flight == 0
        await upstream.aclose()


def ask(upstream: Upstream, path: str = "/x", body: bytes = b"", first_byte_s: float = 1.0) -> Any:
    return upstream.request(b"POST", path, ((b"x-own", b"1"),), body, first_byte_s)


async def whole(reply: Reply) -> bytes:
    body = b""
    while piece := await reply.receive():
        body += piece
    return body


async def call(upstream: Upstream) -> None:
    async with ask(upstream) as reply:
        assert await whole(reply) == b"ok"


async def failure(upstream: Upstream, **options: Any) -> UpstreamError:
    """The error of one call that reads all it can."""
    with pytest.raises(UpstreamError) as caught:
        async with ask(upstream, **options) as reply:
            while await reply.receive():
                reply.fed()
    return caught.value


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


async def test_waiting_for_a_place_counts_as_waiting_for_the_provider() -> None:
    async def wait() -> None:
        error = await failure(upstream, first_byte_s=0.05)
        assert (error.code, error.detail) == ("provider_error", "first byte deadline passed")
        assert len(peer.requests) == 1

    async with to_peer(max_parallel=1) as (upstream, peer), ask(upstream), trio.open_nursery() as nursery:
        nursery.start_soon(wait)


async def test_a_closed_port_sends_the_call_elsewhere_at_once() -> None:
    error = await failure(Upstream("http://127.0.0.1:9/v1"))
    assert (error.code, error.retry, error.breaker) == ("provider_error", "other", "count")
    assert "127.0.0.1" not in error.message


async def test_a_host_that_accepts_nobody_is_given_up_at_the_connect_deadline() -> None:
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        upstream = Upstream(f"http://127.0.0.1:{deaf.getsockname()[1]}", deadlines=Deadlines(connect_s=0.1))
        began = trio.current_time()
        error = await failure(upstream, first_byte_s=5)
        assert (error.code, error.retry, error.breaker) == ("provider_error", "other", "count")
        assert 0.09 < trio.current_time() - began < 1


async def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certfile"], files["keyfile"])
    async with open_peer(ssl_context=context) as peer:
        error = await failure(Upstream(peer.url))
        assert (error.code, error.retry) == ("provider_error", "other")
        assert peer.requests == []


@pytest.mark.parametrize(
    ("script", "deadlines", "phase"),
    [
        ([b""], {}, "first byte"),
        ([CHUNKED], {}, "first byte"),
        ([CHUNKED + chunk(b"one")], {}, "gap"),
        ([CHUNKED] + [chunk(b"x")] * 50, {"total_s": 0.2}, "total"),
    ],
    ids=["no head", "no body", "silence", "no end"],
)
async def test_each_deadline_fires_alone_and_says_its_name(
    script: list[bytes], deadlines: dict[str, float], phase: str
) -> None:
    async def act(line: Line) -> None:
        await line.request()
        for piece in script:
            await line.send(piece) if piece else None
            await trio.sleep(0.03)
        await line.hold()

    async with to_peer(act, **deadlines) as (upstream, peer):
        error = await failure(upstream, first_byte_s=0.15)
        assert (error.code, error.retry, error.breaker) == ("provider_error", "once", "count")
        assert error.detail == f"{phase} deadline passed"
        with trio.fail_after(1):
            await peer.hung_up.wait()


async def test_a_slow_reader_of_ours_is_no_fault_of_the_provider() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + chunk(b"one"))
        await line.send(chunk(b"two") + b"0\r\n\r\n")
        await line.hold()

    async with to_peer(act) as (upstream, _), ask(upstream) as reply:
        assert await reply.receive()
        reply.fed()
        await trio.sleep(0.25)
        assert await whole(reply) in (b"", b"two")


async def test_an_answer_that_is_over_has_no_deadline_left() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + chunk(b"[DONE]"))
        await line.hold()

    async with to_peer(act, total_s=0.1) as (upstream, _), ask(upstream) as reply:
        await reply.receive()
        reply.over()
        await trio.sleep(0.2)
        began = trio.current_time()
        await reply.drain()
        assert trio.current_time() - began < 0.3


@pytest.mark.parametrize("ending", ["fin", "reset"])
async def test_a_body_that_breaks_off_is_the_providers_fault(ending: str) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + chunk(b"one"))
        await trio.sleep(0.02)
        if ending == "reset":
            await line.reset()

    async with to_peer(act) as (upstream, _):
        error = await failure(upstream)
        assert (error.code, error.retry, error.breaker) == ("upstream_error", "once", "count")


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000], ids=["nothing", "ssh", "huge"]
)
async def test_a_peer_that_gives_no_answer_counts_against_it(said: bytes) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(said) if said else None

    async with to_peer(act) as (upstream, _):
        error = await failure(upstream)
        assert (error.code, error.retry, error.breaker) == ("provider_error", "once", "count")


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


ERROR = b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize("ending", ["hold", "fin", "reset"])
async def test_of_an_error_body_we_keep_what_came_whatever_happens_to_it(ending: str) -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(ERROR + b"half of it")
        await trio.sleep(0.02)
        if ending != "fin":
            await (line.hold() if ending == "hold" else line.reset())

    async with to_peer(act) as (upstream, _), ask(upstream) as reply:
        assert (reply.status, await reply.read()) == (500, b"half of it")


async def test_an_error_body_is_read_up_to_its_cap() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(ERROR + b"x" * 300_000)
        await line.hold()

    async with to_peer(act) as (upstream, _), ask(upstream) as reply:
        assert len(await reply.read(5000)) == 5000
