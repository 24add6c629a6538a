"""The balancer: it spreads, avoids who cannot serve, and passes bytes as if it were not there."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import trio

from scripts.clustering import balancer as balancing
from scripts.clustering.backends import Backends, probe
from tests.certificate import self_signed
from tests.clustering.replicas import Replica, eventually, open_balancer, open_replica, rest, until
from tests.hostile.rig import open_server

NOBODY = "http://127.0.0.1:9"  # nothing listens on the discard port


async def test_connections_that_stay_open_are_spread_evenly() -> None:
    async with open_replica("a") as a, open_replica("b") as b, open_replica("c") as c, AsyncExitStack() as clients:
        balancer = await clients.enter_async_context(open_balancer(a.url, b.url, c.url))
        for _ in range(9):
            client = await clients.enter_async_context(await balancer.connect())
            await client.send_all(b"x")
            await until(client, b":x")
        assert [each.connections for each in (a, b, c)] == [3, 3, 3]


async def test_short_connections_one_after_the_other_are_spread_too() -> None:
    async with open_replica("a") as a, open_replica("b") as b, open_balancer(a.url, b.url) as balancer:
        names = [await balancer.greeted_by() for _ in range(8)]
        assert {names.count("a"), names.count("b")} == {4}


async def test_the_one_with_fewer_connections_is_chosen() -> None:
    async with open_replica("a") as a, open_replica("b") as b, open_balancer(a.url, b.url) as balancer:
        async with await balancer.connect() as busy:
            await busy.send_all(b"x")
            name = (await until(busy, b":x"))[:-2].decode()
            others = {await balancer.greeted_by() for _ in range(3)}
        assert others == {"a", "b"} - {name}


async def test_a_backend_that_refuses_is_never_seen_by_a_client_and_comes_back_when_it_serves() -> None:
    async with open_replica("a") as a, open_balancer(a.url) as balancer:
        async with open_replica("b") as b:
            balancer.backends.add(b.url)
            assert {await balancer.greeted_by() for _ in range(4)} == {"a", "b"}
        assert {await balancer.greeted_by() for _ in range(4)} == {"a"}
        assert [each.state for each in balancer.backends.all()] == ["ready", "down"]
        host, _, port = b.url.rpartition(":")
        listeners = await trio.open_tcp_listeners(int(port), host=host.removeprefix("http://"))
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, Replica("again").serve, listeners)
            await balancer.state(b.url, "ready")
            assert "again" in {await balancer.greeted_by() for _ in range(4)}
            nursery.cancel_scope.cancel()


async def test_a_backend_that_drains_keeps_what_it_has() -> None:
    async with open_replica("a") as a, open_balancer(a.url) as balancer, await balancer.connect() as client:
        await client.send_all(b"x")
        await until(client, b"a:x")
        a.status = 503
        await balancer.state(a.url, "unready")
        await client.send_all(b"still here")
        await until(client, b"still here")


async def test_a_backend_that_drains_gets_nothing_new_however_little_it_has_to_do() -> None:
    async with (
        open_replica("a", status=503) as a,
        open_replica("b") as b,
        open_balancer(b.url) as balancer,
        await balancer.connect() as busy,
    ):
        await busy.send_all(b"x")
        await until(busy, b"b:x")
        balancer.backends.add(a.url)
        await balancer.state(a.url, "unready")
        assert {await balancer.greeted_by() for _ in range(4)} == {"b"}


async def test_when_none_is_ready_one_that_answers_is_better_than_none() -> None:
    async with open_replica("a", status=503) as a, open_balancer(NOBODY, a.url) as balancer:
        await balancer.state(a.url, "unready")
        assert await balancer.greeted_by() == "a"


async def test_a_backend_without_readyz_is_asked_for_healthz() -> None:
    async with open_replica("a", status=404) as a:
        assert await probe(a.url) == "ready"
        assert a.probes == [b"/readyz", b"/healthz"]


async def test_a_backend_that_accepts_and_says_nothing_is_down() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(5):
            assert await probe(f"http://127.0.0.1:{port}") == "down"


async def test_without_any_backend_the_answer_is_503_with_a_time_to_come_back() -> None:
    async with open_balancer(NOBODY) as balancer, await balancer.connect() as client:
        await client.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n...")
        answer = await rest(client)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer


async def test_the_end_of_what_a_client_sends_is_passed_on_and_the_answer_still_comes() -> None:
    async with open_replica("a") as a, open_balancer(a.url) as balancer, await balancer.connect() as client:
        await client.send_all(b"question")
        await client.send_eof()
        assert await rest(client) == b"a:question."


async def test_tls_and_http2_pass_untouched_and_a_stream_arrives_piece_by_piece(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=certificate["certfile"])
    async with (
        open_server(**certificate) as server,
        open_balancer(server.url) as balancer,
        httpx2.AsyncClient(http2=True, verify=trust) as client,
        client.stream("POST", f"https://127.0.0.1:{balancer.port}/stream") as reply,
    ):
        assert reply.http_version == "HTTP/2"
        pieces = reply.aiter_bytes()
        assert await anext(pieces) == b"first "
        server.app.go.set()
        assert [piece async for piece in pieces] == [b"last"]


async def test_megabytes_pass_whole_in_both_directions_at_once() -> None:
    sent = bytes(range(256)) * 16 * 1024
    async with open_replica("a") as a, open_balancer(a.url) as balancer, await balancer.connect() as client:

        async def send() -> None:
            await client.send_all(sent)
            await client.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            assert await rest(client) == b"a:" + sent + b"."


async def test_a_client_that_does_not_read_fills_no_memory() -> None:
    sent = 0
    async with open_replica("a") as a, open_balancer(a.url) as balancer, await balancer.connect() as client:
        with trio.move_on_after(1):
            while True:
                await client.send_all(bytes(256 * 1024))
                sent += 256 * 1024
        assert sent < 30 * 1024 * 1024  # what the sockets of the system hold


async def test_a_client_that_leaves_is_seen_by_its_backend() -> None:
    async with open_replica("a") as a, open_balancer(a.url) as balancer:
        async with await balancer.connect() as client:
            await client.send_all(b"x")
            await until(client, b":x")
            assert a.open == 1
        await eventually(lambda: a.open == 0 and balancer.connections == 0)


async def test_a_client_that_does_not_notice_the_end_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancing, "LINGER_S", 0.1)
    async with open_balancer() as balancer, AsyncExitStack() as clients:
        async with open_replica("a") as a:
            balancer.backends.add(a.url)
            client = await clients.enter_async_context(await balancer.connect())
            await client.send_all(b"x")
            await until(client, b":x")
        await eventually(lambda: balancer.connections == 0)


async def test_cancelling_it_leaves_no_task_and_no_open_connection() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_replica("a") as a:
        async with open_balancer(a.url) as balancer:
            client = await balancer.connect()
            await client.send_all(b"x")
            await until(client, b":x")
        async with client:
            assert await rest(client) == b""
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_removed_backend_gets_nothing_new() -> None:
    async with open_replica("a") as a, open_replica("b") as b, open_balancer(a.url, b.url) as balancer:
        balancer.backends.remove(a.url)
        assert {await balancer.greeted_by() for _ in range(4)} == {"b"}


def test_adding_a_backend_twice_keeps_what_is_known_of_it() -> None:
    backends = Backends("http://127.0.0.1:1")
    backends.all()[0].state = "down"
    assert backends.add("http://127.0.0.1:1").state == "down"
