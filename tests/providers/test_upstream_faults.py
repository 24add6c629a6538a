"""The socket out when a host is away, late or broken: every deadline by its name, every fault with its consequence."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from app.core.errors import UpstreamError
from app.providers.deadlines import Deadlines, ReaderLate
from app.providers.upstream import Upstream
from tests.certificate import self_signed
from tests.providers.asking import ask, failure, to_peer, whole
from tests.providers.peer import CHUNKED, Line, chunk, open_peer

ERROR = b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n"


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
    script: list[bytes], deadlines: dict[str, Any], phase: str
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


async def test_the_time_a_reader_takes_is_not_the_providers() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + chunk(b"one"))
        await trio.sleep(0.2)
        await line.send(chunk(b"two") + b"0\r\n\r\n")
        await line.hold()

    async with to_peer(act, total_s=0.15) as (upstream, _), ask(upstream) as reply:
        assert await reply.receive() == b"one"
        await trio.sleep(0.3)
        assert await whole(reply) == b"two"


async def test_a_reader_that_takes_too_long_is_not_the_providers_fault() -> None:
    async def act(line: Line) -> None:
        await line.request()
        await line.send(CHUNKED + chunk(b"one"))
        await line.hold()

    async with to_peer(act, reader_s=0.1) as (upstream, peer):

        async def dawdle() -> None:
            async with ask(upstream) as reply:
                await reply.receive()
                await trio.sleep(1)

        with pytest.raises(ReaderLate):
            await dawdle()
        with trio.fail_after(1):
            await peer.hung_up.wait()


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


async def test_a_request_knows_whether_the_host_may_have_had_it() -> None:
    async def leave(line: Line) -> None:
        await line.request()

    unheard = ask(Upstream("http://127.0.0.1:9"))
    with pytest.raises(UpstreamError):
        await unheard.__aenter__()
    assert not unheard.asked
    async with to_peer(leave) as (upstream, _):
        heard = ask(upstream)
        with pytest.raises(UpstreamError):
            await heard.__aenter__()
        assert heard.asked
