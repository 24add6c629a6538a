"""HTTP/2 by prior knowledge: one stream's trouble stays in that stream."""

from __future__ import annotations

import httpx2
import structlog.testing
from h2.events import DataReceived, ResponseReceived, SettingsAcknowledged, StreamReset
from h2.settings import SettingCodes
from trio.testing import wait_all_tasks_blocked

from tests.hostile.rig import frame, open_server

DATA, PRIORITY = 0, 2


async def test_a_real_client_speaks_http2_in_clear_text() -> None:
    async with open_server() as server, httpx2.AsyncClient(http1=False, http2=True) as client:
        reply = await client.post(f"{server.url}/ok", content=b"x" * 200_000)
        assert (reply.http_version, reply.text) == ("HTTP/2", "ok 200000")


async def test_late_data_on_an_answered_stream_harms_neither_its_neighbours_nor_the_server() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        neighbour = await peer.open_stream("/stream")
        await peer.event(DataReceived, neighbour)
        refused = await peer.open_stream("/early", end_stream=False)
        await peer.event(ResponseReceived, refused)
        await server.diary.until("refused")
        for _ in range(10):
            await peer.send(frame(DATA, refused, b"x" * 1000))
        assert (await peer.get("/ok"))[0] == 200
        server.app.go.set()
        await server.diary.until("finished")
        assert await server.is_well()


async def test_a_reset_cancels_that_request_only() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        left = await peer.open_stream("/wait")
        stays = await peer.open_stream("/stream")
        await server.diary.until("stream begun")
        peer.h2.reset_stream(left)
        await peer.flush()
        await server.diary.until("http.disconnect")
        server.app.go.set()
        await server.diary.until("finished")
        await peer.event(DataReceived, stays)


async def test_an_error_in_the_middle_of_a_body_resets_the_stream_and_nothing_else() -> None:
    with structlog.testing.capture_logs() as logs:
        async with open_server() as server, await server.connect_h2() as peer:
            await peer.event(StreamReset, await peer.open_stream("/break_off"))
            assert await peer.get("/ok") == (200, b"ok 0")
    assert [entry["event"] for entry in logs] == ["app_failed"]


async def test_one_connection_carries_more_than_a_thousand_requests_beside_a_long_stream() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        long = await peer.open_stream("/stream")
        for _ in range(11):
            batch = [await peer.open_stream("/ok") for _ in range(100)]
            for stream_id in batch:
                await peer.event(DataReceived, stream_id)
            peer.events = [event for event in peer.events if getattr(event, "stream_id", 0) == long]
        server.app.go.set()
        await server.diary.until("finished")
        assert server.diary.words.count("ok begun") == 1100


async def test_hundreds_of_streams_at_once_are_served() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        await peer.event(SettingsAcknowledged)
        streams = [await peer.open_stream("/stream") for _ in range(900)]
        await server.diary.until("stream begun", 900)
        server.app.go.set()
        await peer.event(DataReceived, streams[-1])
        while len([event for event in peer.events if isinstance(event, DataReceived) and b"last" in event.data]) < 900:
            await peer.read()


async def test_a_client_that_does_not_read_is_cut_at_the_write_deadline() -> None:
    async with open_server(write_deadline_s=0.3) as server, await server.connect_h2() as peer:
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        peer.h2.increment_flow_control_window(2**31 - 1 - 65535)
        await peer.open_stream("/flood")
        await server.diary.until("http.disconnect")
        assert await server.is_well()


async def test_a_stream_without_a_window_is_reset_at_the_write_deadline_and_the_rest_goes_on() -> None:
    async with open_server(write_deadline_s=0.3) as server, await server.connect_h2() as peer:
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
        await peer.event(SettingsAcknowledged)
        stalled = peer.h2.get_next_available_stream_id()
        await peer.open_stream("/flood")
        peer.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        await peer.event(StreamReset, stalled)
        await server.diary.until("http.disconnect")
        assert server.app.blocks_sent < 20  # a few fall on deaf ears after the reset
        assert await peer.get("/ok") == (200, b"ok 0")


async def test_a_hang_up_reaches_every_stream_even_one_that_waits_for_its_window() -> None:
    async with open_server() as server:
        async with await server.connect_h2() as peer:
            await peer.open_stream("/wait")
            await peer.open_stream("/flood")
            await server.diary.until("flood begun")
            await wait_all_tasks_blocked(0.05)
        await server.diary.until("http.disconnect", 2)


async def test_a_flood_of_priority_frames_ends_its_own_connection_only() -> None:
    with structlog.testing.capture_logs():
        async with open_server() as server, await server.connect_h2() as peer:
            await peer.send(b"".join(frame(PRIORITY, id_, bytes(5)) for id_ in range(1, 5001, 2)))
            assert await peer.is_closed()
            assert await server.is_well()


async def test_a_connection_without_a_request_is_closed_after_keep_alive() -> None:
    async with open_server(keep_alive_s=0.2) as server, await server.connect_h2() as peer:
        assert await peer.is_closed()


async def test_a_frame_that_breaks_the_protocol_ends_its_own_connection_only() -> None:
    async with open_server() as server, await server.connect_h2() as peer:
        await peer.send(frame(DATA, 1, b"no headers before"))
        assert await peer.is_closed()
        assert await server.is_well()
