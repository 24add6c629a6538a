"""The end of the server: what is idle goes, what runs may finish, what does not finish is cancelled and settles.

test_server_drain_grace.py has the time between the announcement and the end; test_server_drain_http2.py has HTTP/2.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import trio
from hypercorn.utils import LifespanFailureError
from trio.testing import wait_all_tasks_blocked

from app.server import ServerSettings, serve, watch_signals
from tests.hostile.misbehave import Hostile
from tests.hostile.rig import open_server, request


async def test_drain_closes_idle_connections_and_accepts_no_more() -> None:
    async with open_server() as server, await server.connect() as fresh, await server.connect() as used:
        await used.request("/ok")
        await used.until(b"ok 0")
        server.shutdown.set()
        assert await used.rest() == b""
        assert await fresh.is_closed()
        await server.ended.wait()
        with pytest.raises(OSError, match="connect"):
            await server.connect()


async def test_the_first_request_of_a_client_who_came_just_before_the_end_is_answered() -> None:
    async with open_server() as server, await server.connect() as peer:
        await wait_all_tasks_blocked(0.05)
        server.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        await peer.request("/ok")
        answer = (await peer.rest()).lower()
        assert b"ok 0" in answer
        assert b"\r\nconnection: close\r\n" in answer
        await server.ended.wait()


async def test_drain_lets_a_stream_finish_and_returns_then() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.request("/stream")
        await peer.until(b"first")
        server.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        assert not server.ended.is_set()
        server.app.go.set()
        assert (await peer.rest()).endswith(b"last\r\n0\r\n\r\n")
        await server.ended.wait()
        assert server.diary.words[-2:] == ["settled", "lifespan.shutdown"]


async def test_drain_does_not_begin_the_next_request_of_a_pipeline() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.send(request("/stream") + request("/ok"))
        await peer.until(b"first")
        server.shutdown.set()
        await wait_all_tasks_blocked(0.05)
        server.app.go.set()
        assert (await peer.rest()).endswith(b"0\r\n\r\n")
        await server.ended.wait()
        assert "ok begun" not in server.diary.words


async def test_drain_cancels_what_is_left_when_its_time_is_over_and_lets_it_settle() -> None:
    async with open_server(drain_s=0.3) as server, await server.connect() as peer:
        await peer.request("/stream")
        await peer.until(b"first")
        server.shutdown.set()
        await server.ended.wait()
        assert server.diary.words[-2:] == ["settled", "lifespan.shutdown"]
        assert "finished" not in server.diary.words


async def test_hurry_cancels_at_once() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.request("/stream")
        await peer.until(b"first")
        server.shutdown.set()
        server.hurry.set()
        with trio.fail_after(1):
            await server.ended.wait()
        assert "settled" in server.diary.words


@pytest.mark.parametrize("how", ["drain", "hurry", "cancel"])
async def test_a_client_that_does_not_read_does_not_hold_the_end_up(how: str) -> None:
    async with open_server(drain_s=0.2, write_deadline_s=60) as server, await server.connect() as peer:
        await peer.request("/flood")
        await peer.until(b"x")
        await wait_all_tasks_blocked(0.2)
        if how == "cancel":
            server.cancel()
        else:
            server.shutdown.set()
            if how == "hurry":
                server.hurry.set()
        with trio.fail_after(2):
            await server.ended.wait()


async def test_the_lifespan_of_the_application_surrounds_the_service() -> None:
    async with open_server() as server:
        assert await server.is_well()
        server.shutdown.set()
        await server.ended.wait()
        assert server.diary.words == ["lifespan.startup", "ok begun", "lifespan.shutdown"]


async def test_an_application_that_cannot_start_raises_bare() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LifespanFailureError, match="no database"):
        await serve(app, ServerSettings(port=0), shutdown=trio.Event())


async def test_a_taken_address_raises_bare() -> None:
    async with open_server() as server:
        with pytest.raises(OSError, match=r"[Aa]ddress"):
            await serve(Hostile(), ServerSettings(port=server.port), shutdown=trio.Event())


async def test_shutdown_may_be_any_function_that_waits() -> None:
    await serve(Hostile(), ServerSettings(port=0), shutdown=trio.lowlevel.checkpoint)


async def test_the_first_signal_drains_and_the_second_hurries() -> None:
    shutdown, hurry = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, shutdown, hurry)
        os.kill(os.getpid(), signal.SIGTERM)
        with trio.fail_after(1):
            await shutdown.wait()
        assert not hurry.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        with trio.fail_after(1):
            await hurry.wait()
        nursery.cancel_scope.cancel()
