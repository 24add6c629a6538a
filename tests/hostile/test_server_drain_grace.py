"""The grace before the end: everything is served, and every client hears that it should go elsewhere."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.hostile.rig import open_server

GRACE_S = 0.4


async def test_new_clients_are_served_until_the_grace_is_over() -> None:
    async with open_server(drain_grace_s=GRACE_S) as server:
        server.shutdown.set()
        await wait_all_tasks_blocked()
        assert await server.is_well()
        with trio.fail_after(GRACE_S + 1):
            await server.ended.wait()
        with pytest.raises(OSError, match="connect"):
            await server.connect()


async def test_an_answer_in_the_grace_asks_to_close_and_the_server_does() -> None:
    async with open_server(drain_grace_s=GRACE_S) as server, await server.connect() as peer:
        await peer.request("/ok")
        assert b"connection" not in await peer.until(b"ok 0")
        server.shutdown.set()
        await wait_all_tasks_blocked()
        await peer.request("/ok")
        answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert not server.ended.is_set()


async def test_an_answer_whose_head_left_before_the_grace_does_not_end_its_connection_unannounced() -> None:
    async with open_server(drain_grace_s=GRACE_S) as server, await server.connect() as peer:
        await peer.request("/stream")
        await peer.until(b"first")
        server.shutdown.set()
        await wait_all_tasks_blocked()
        server.app.go.set()
        await peer.until(b"\r\n0\r\n\r\n")
        await peer.request("/ok")
        assert b"\r\nconnection: close\r\n" in (await peer.rest()).lower()


async def test_an_idle_connection_stays_open_until_the_grace_is_over() -> None:
    async with open_server(drain_grace_s=GRACE_S) as server, await server.connect() as peer:
        await peer.request("/ok")
        await peer.until(b"ok 0")
        began = trio.current_time()
        server.shutdown.set()
        assert await peer.rest() == b""
        assert trio.current_time() - began >= GRACE_S


async def test_hurry_ends_the_grace() -> None:
    async with open_server(drain_grace_s=60) as server, await server.connect() as peer:
        await peer.request("/stream")
        await peer.until(b"first")
        server.shutdown.set()
        await wait_all_tasks_blocked()
        server.hurry.set()
        with trio.fail_after(1):
            await server.ended.wait()
        assert "settled" in server.diary.words
