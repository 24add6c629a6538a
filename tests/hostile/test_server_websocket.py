"""WebSocket: bytes too early, messages too large, clients that vanish."""

from __future__ import annotations

import structlog.testing

from tests.hostile.rig import open_server

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bKdPyn3u98cTfZJSh4TNeQ==\r\n\r\n"
)
MASK = b"\0\0\0\0"
HELLO = b"\x81\x85" + MASK + b"hello"


async def test_a_message_is_answered_and_a_vanished_client_is_noticed() -> None:
    async with open_server() as server:
        async with await server.connect() as peer:
            await peer.send(UPGRADE)
            assert (await peer.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            await peer.send(HELLO)
            assert await peer.until(b"hello") == b"\x81\x05hello"
        await server.diary.until("websocket.disconnect")


async def test_a_byte_right_after_the_upgrade_request_ends_its_own_connection_only() -> None:
    with structlog.testing.capture_logs():
        async with open_server() as server, await server.connect() as peer:
            await peer.send(UPGRADE + b"x")
            assert await peer.is_closed()
            assert await server.is_well()


async def test_a_frame_that_is_not_masked_ends_its_own_connection_only() -> None:
    with structlog.testing.capture_logs():
        async with open_server() as server, await server.connect() as peer:
            await peer.send(UPGRADE)
            await peer.until(b"\r\n\r\n")
            await peer.send(b"\x81\x05hello")
            await server.diary.until("websocket.disconnect")
            assert await server.is_well()


async def test_a_message_above_the_cap_is_refused() -> None:
    async with open_server(max_message_bytes=1000) as server, await server.connect() as peer:
        await peer.send(UPGRADE)
        await peer.until(b"\r\n\r\n")
        await peer.send(b"\x81\xfe\x13\x88" + MASK + b"x" * 5000)
        assert b"\x03\xf1" in await peer.until(b"\x03\xf1")  # 1009, message too big
        assert "websocket.receive" not in server.diary.words
