"""Limits and deadlines: headers, connections, clients that do not read, applications that do not listen."""

from __future__ import annotations

import os
import resource

import pytest
import structlog.testing
import trio

from tests.hostile.rig import open_server, request


async def test_a_header_above_the_cap_is_refused_with_431() -> None:
    async with open_server(max_header_bytes=4096) as server, await server.connect() as peer:
        await peer.send(b"GET /ok HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000)
        assert (await peer.rest()).startswith(b"HTTP/1.1 431")
        assert await server.is_well()


async def test_a_header_that_trickles_in_is_cut_at_its_deadline() -> None:
    async with open_server(header_deadline_s=0.3) as server, await server.connect() as peer:
        began = trio.current_time()

        async def trickle() -> None:
            for byte in b"GET /ok HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1000:
                await peer.send(bytes([byte]))
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:

            async def run() -> None:
                with pytest.raises(trio.BrokenResourceError):
                    await trickle()
                nursery.cancel_scope.cancel()

            nursery.start_soon(run)
            await peer.is_closed()
            assert 0.25 < trio.current_time() - began < 2
            nursery.cancel_scope.cancel()


async def test_an_idle_connection_is_closed_after_keep_alive_and_not_before() -> None:
    async with open_server(keep_alive_s=0.4) as server, await server.connect() as peer:
        for _ in range(3):
            await trio.sleep(0.2)
            await peer.request("/ok")
            await peer.until(b"ok 0")
        answered = trio.current_time()
        assert await peer.rest() == b""
        assert trio.current_time() - answered > 0.35


async def test_a_request_that_runs_is_not_idle() -> None:
    async with open_server(keep_alive_s=0.1, header_deadline_s=0.1) as server, await server.connect() as peer:
        await peer.request("/stream")
        await peer.until(b"first")
        await trio.sleep(0.3)
        server.app.go.set()
        assert await peer.until(b"last")


async def test_a_full_server_lets_the_next_client_wait_until_one_leaves() -> None:
    async with open_server(max_connections=2) as server:
        first, second = await server.connect(), await server.connect()
        for peer in (first, second):
            await peer.request("/ok")
            await peer.until(b"ok 0")
        async with await server.connect() as third:
            await third.request("/ok")
            with trio.move_on_after(0.3) as patience:
                await third.until(b"ok 0")
            assert patience.cancelled_caught
            await trio.aclose_forcefully(first.stream)
            assert await third.until(b"ok 0")
        await trio.aclose_forcefully(second.stream)


async def test_a_server_out_of_file_descriptors_accepts_again_when_there_are_some() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with structlog.testing.capture_logs() as logs:
        async with open_server() as server:
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, hard))  # enough for the client's end only
            try:
                async with await server.connect() as peer:
                    await peer.request("/ok")
                    with trio.move_on_after(0.3) as patience:
                        await peer.until(b"ok 0")
                    assert patience.cancelled_caught
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                    assert await peer.until(b"ok 0")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    told = {(entry["event"], entry.get("reason")) for entry in logs if not entry["event"].startswith("otel.")}
    assert told == {("accept_paused", "EMFILE")}


async def test_a_client_that_does_not_read_is_cut_at_the_write_deadline_and_its_application_hears_it() -> None:
    async with open_server(write_deadline_s=0.3) as server, await server.connect() as peer:
        await peer.request("/flood")
        await server.diary.until("http.disconnect")
        assert await peer.is_closed()
        assert await server.is_well()


async def test_a_client_that_reads_slowly_but_reads_is_not_cut() -> None:
    async with open_server(write_deadline_s=0.5) as server, await server.connect() as peer:
        await peer.request("/flood")
        began = trio.current_time()
        while trio.current_time() < began + 1:
            assert await peer.stream.receive_some(1_000_000)
            await trio.sleep(0.005)
        assert "http.disconnect" not in server.diary.words


async def test_an_application_that_does_not_listen_is_cancelled_some_time_after_its_client_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.server.connection.LEAVE_S", 0.1)
    async with open_server() as server:
        async with await server.connect() as peer:
            await peer.request("/deaf")
            await server.diary.until("deaf begun")
        await server.diary.until("cancelled")


async def test_an_endless_producer_does_not_starve_its_neighbours() -> None:
    async with open_server() as server, await server.connect() as greedy:
        await greedy.request("/flood")

        async def read() -> None:
            while await greedy.stream.receive_some(1_000_000):
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for _ in range(5):
                assert await server.is_well()
            nursery.cancel_scope.cancel()


async def test_a_pipeline_does_not_pile_up_without_limit() -> None:
    """Past the read-ahead the socket is left alone, so the client's own send blocks."""
    async with open_server() as server, await server.connect() as peer:
        await peer.request("/wait")
        await server.diary.until("wait begun")
        with trio.move_on_after(1) as patience:
            while True:
                await peer.send(request("/ok") * 1000)
        assert patience.cancelled_caught
