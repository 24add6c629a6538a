"""The end of an HTTP/2 connection: what runs may finish, and GOAWAY tells which stream was the last one taken."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog.testing
import trio
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, SettingsAcknowledged, StreamEnded
from trio.testing import wait_all_tasks_blocked

from tests.certificate import self_signed
from tests.hostile.rig import H2Peer, Server, open_server


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Any]:
    return self_signed(tmp_path)


async def speak_h2(stream: trio.abc.Stream, certificate: dict[str, Any]) -> H2Peer:
    context = ssl.create_default_context(cafile=certificate["certfile"])
    context.set_alpn_protocols(["h2"])
    peer = H2Peer(trio.SSLStream(stream, context, server_hostname="127.0.0.1", https_compatible=True))
    await peer.flush()
    return peer


async def connect_tls(server: Server, certificate: dict[str, Any]) -> H2Peer:
    return await speak_h2(await trio.open_tcp_stream("127.0.0.1", server.port), certificate)


async def goodbye(peer: H2Peer) -> tuple[int, int]:
    """The error code of the GOAWAY, and the last stream that it names."""
    event = await peer.event(ConnectionTerminated)
    assert isinstance(event, ConnectionTerminated)
    return int(event.error_code or 0), event.last_stream_id or 0


async def test_a_stream_may_finish_and_goaway_comes_after_it() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        stream_id = await peer.open_stream("/stream")
        await server.diary.until("stream begun")
        server.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        server.app.go.set()
        await peer.event(StreamEnded, stream_id)
        assert peer.body(stream_id) == b"first last"
        assert await goodbye(peer) == (ErrorCodes.NO_ERROR, stream_id)
        await server.ended.wait()


@pytest.mark.parametrize("grace_s", [0, 60])
async def test_an_idle_connection_hears_goaway_at_once(grace_s: float) -> None:
    async with open_server(drain_grace_s=grace_s) as server, await server.connect_h2() as peer:
        assert (await peer.get("/ok"))[0] == 200
        server.shutdown.set()
        with trio.fail_after(1):
            assert await goodbye(peer) == (ErrorCodes.NO_ERROR, 1)
        assert await peer.is_closed()


async def test_a_connection_without_a_request_yet_hears_goaway() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        await peer.event(SettingsAcknowledged)
        server.shutdown.set()
        assert await goodbye(peer) == (ErrorCodes.NO_ERROR, 0)


async def test_the_first_request_of_a_client_who_came_just_before_the_end_is_answered() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        await peer.event(SettingsAcknowledged)
        server.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        assert await peer.get("/ok") == (200, b"ok 0")
        assert await goodbye(peer) == (ErrorCodes.NO_ERROR, 1)


async def test_a_connection_that_is_idle_for_too_long_hears_goaway_too() -> None:
    async with open_server(keep_alive_s=0.2) as server, await server.connect_h2() as peer:
        assert (await peer.get("/ok"))[0] == 200
        assert await goodbye(peer) == (ErrorCodes.NO_ERROR, 1)
        assert await peer.is_closed()


async def test_a_real_client_takes_its_next_request_elsewhere_without_noticing() -> None:
    async with httpx2.AsyncClient(http1=False, http2=True) as client, open_server() as old:
        assert (await client.post(f"{old.url}/ok")).text == "ok 0"
        old.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        async with open_server(port=old.port) as new:
            assert (await client.post(f"{old.url}/ok")).text == "ok 0"
            assert "ok begun" in new.diary.words


async def test_a_real_client_reads_its_stream_to_the_end() -> None:
    async with (
        open_server(drain_grace_s=0.1) as server,
        httpx2.AsyncClient(http1=False, http2=True) as client,
        client.stream("POST", f"{server.url}/stream") as reply,
    ):
        chunks = reply.aiter_bytes()
        assert await anext(chunks) == b"first "
        server.shutdown.set()
        await trio.sleep(0.2)
        server.app.go.set()
        assert [chunk async for chunk in chunks] == [b"last"]


async def test_a_new_stream_beside_a_running_one_is_served_in_the_grace_and_waits_for_goaway_after_it() -> None:
    async with open_server(drain_grace_s=0.4) as server, await server.connect_h2() as peer:
        running = await peer.open_stream("/stream")
        await server.diary.until("stream begun")
        server.shutdown.set()
        await wait_all_tasks_blocked()
        assert await peer.get("/ok") == (200, b"ok 0")
        await trio.sleep(0.5)
        late = await peer.open_stream("/ok", end_stream=False)
        peer.h2.send_data(late, b"x" * 10_000, end_stream=True)
        await peer.flush()
        await wait_all_tasks_blocked(0.05)
        server.app.go.set()
        await peer.event(StreamEnded, running)
        assert await goodbye(peer) == (ErrorCodes.NO_ERROR, late - 2)
        assert server.diary.words.count("ok begun") == 1


async def test_a_real_client_sends_a_stream_that_was_not_begun_again_elsewhere() -> None:
    async with (
        httpx2.AsyncClient(http1=False, http2=True) as client,
        open_server() as old,
        client.stream("POST", f"{old.url}/stream") as reply,
    ):
        old.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        async with open_server(port=old.port) as new, trio.open_nursery() as nursery:

            async def ask() -> None:
                assert (await client.post(f"{old.url}/ok", content=b"x" * 10_000)).text == "ok 10000"

            nursery.start_soon(ask)
            await wait_all_tasks_blocked(0.1)
            old.app.go.set()
            assert await reply.aread() == b"first last"
        assert "ok begun" not in old.diary.words
        assert "ok begun" in new.diary.words


async def test_a_stream_over_tls_has_its_end_before_the_connection_has(certificate: dict[str, Any]) -> None:
    trust = ssl.create_default_context(cafile=certificate["certfile"])
    async with open_server(**certificate) as server, httpx2.AsyncClient(http2=True, verify=trust) as client:
        async with client.stream("POST", f"{server.url}/stream") as reply:
            assert reply.http_version == "HTTP/2"
            server.shutdown.set()
            await wait_all_tasks_blocked(0.05)
            server.app.go.set()
            assert await reply.aread() == b"first last"
        await server.ended.wait()


async def test_goaway_over_tls_leaves_its_client_time_to_close(certificate: dict[str, Any]) -> None:
    async with open_server(**certificate) as server, await connect_tls(server, certificate) as peer:
        assert (await peer.get("/ok"))[0] == 200
        server.shutdown.set()
        await goodbye(peer)
        with trio.move_on_after(0.3):
            await peer.is_closed()
            raise AssertionError("closed at once: what the client sends now would be answered with a reset")


async def test_a_handshake_that_ends_after_the_end_began_is_followed_by_goaway(certificate: dict[str, Any]) -> None:
    async with open_server(**certificate) as server, await server.connect() as late:
        await wait_all_tasks_blocked(0.05)
        server.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        async with await speak_h2(late.stream, certificate) as peer:
            await goodbye(peer)


async def test_a_stream_that_breaks_off_does_not_hold_the_end_up() -> None:
    with structlog.testing.capture_logs():
        async with open_server() as server, await server.connect_h2() as peer:
            peer.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]  # it would wake the server
            stream_id = await peer.open_stream("/break_later")
            await peer.event(DataReceived, stream_id)
            server.shutdown.set()
            await wait_all_tasks_blocked(0.05)
            server.app.go.set()
            with trio.fail_after(1):
                assert await goodbye(peer) == (ErrorCodes.NO_ERROR, stream_id)


async def test_a_connection_whose_last_stream_was_reset_is_idle() -> None:
    async with open_server(keep_alive_s=0.3) as server, await server.connect_h2() as peer:
        stream_id = await peer.open_stream("/wait")
        await server.diary.until("wait begun")
        peer.h2.reset_stream(stream_id)
        await peer.flush()
        await server.diary.until("http.disconnect")
        assert await peer.is_closed()


async def test_a_stream_that_its_client_resets_does_not_hold_the_end_up() -> None:
    async with open_server(drain_s=60) as server, await server.connect_h2() as peer:
        stream_id = await peer.open_stream("/stream")
        await peer.event(DataReceived, stream_id)
        server.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        server.app.go.set()
        peer.h2.reset_stream(stream_id)
        await peer.flush()
        with trio.fail_after(3):
            await server.ended.wait()
