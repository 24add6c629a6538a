"""HTTP/1.1: hang-ups, pipelines, heads without bodies, crashes; each ends the one connection it concerns, if any."""

from __future__ import annotations

import pytest
import structlog.testing

from tests.hostile.rig import open_server, request


async def test_a_hang_up_while_the_application_works_is_heard() -> None:
    async with open_server() as server:
        async with await server.connect() as peer:
            await peer.request("/wait")
            await server.diary.until("wait begun")
        await server.diary.until("http.disconnect")


@pytest.mark.parametrize("extra", [b"\r\n", b"x", request("/ok"), b"x" * 50_000])
async def test_a_hang_up_behind_extra_bytes_in_the_same_packet_is_heard(extra: bytes) -> None:
    async with open_server() as server:
        async with await server.connect() as peer:
            await peer.send(request("/wait") + extra)
            await server.diary.until("wait begun")
        await server.diary.until("http.disconnect")


async def test_a_hang_up_behind_an_extra_byte_that_came_later_is_heard() -> None:
    async with open_server() as server:
        async with await server.connect() as peer:
            await peer.request("/wait")
            await server.diary.until("wait begun")
            await peer.send(b"x")
            await peer.send(b"y")
        await server.diary.until("http.disconnect")


async def test_half_closing_counts_as_leaving() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.request("/wait")
        await peer.stream.send_eof()  # type: ignore[attr-defined]
        await server.diary.until("http.disconnect")


async def test_pipelined_requests_are_answered_in_order_wherever_the_packets_break() -> None:
    async with open_server() as server, await server.connect() as peer:
        pipeline = request("/stream") + request("/ok", b"12345") + request("/empty") + request("/ok", b"1")
        for at in range(0, len(pipeline), 37):
            await peer.send(pipeline[at : at + 37])
        await peer.until(b"first")
        server.app.go.set()
        seen = await peer.until(b"ok 1")
        assert seen.index(b"last") < seen.index(b"ok 5") < seen.index(b"content-length: 0") < seen.index(b"ok 1")


async def test_a_head_goes_out_even_if_the_application_then_waits() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.request("/head")
        assert (await peer.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        server.app.go.set()
        assert await peer.until(b"body") == b"body"


async def test_a_head_goes_out_while_the_next_request_already_waits() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.send(request("/head") + request("/ok"))
        await peer.until(b"\r\n\r\n")
        server.app.go.set()
        assert await peer.until(b"ok 0")


async def test_a_head_goes_out_while_the_request_body_still_comes() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.send(b"POST /head HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
        for _ in range(12):  # more than the application's inbox holds
            await peer.send(b"x" * 1000)
        await peer.until(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("path", "method", "last"),
    [
        ("/empty", "POST", b"content-length: 0"),
        ("/nothing", "POST", b"HTTP/1.1 204"),
        ("/ok", "HEAD", b"content-length: 4"),
    ],
)
async def test_an_answer_without_a_body_is_not_held_back(path: str, method: str, last: bytes) -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.request(path, method=method)
        assert last in await peer.until(b"\r\n\r\n")
        await peer.request("/ok")
        assert await peer.until(b"ok 0")


async def test_a_client_that_expects_100_continue_gets_it_before_it_sends_its_body() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.send(b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert (await peer.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await peer.send(b"abc")
        assert await peer.until(b"ok 3")


async def test_the_answer_does_not_say_which_server_it_is() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.request("/ok")
        seen = (await peer.until(b"ok 0")).lower()
        assert b"\r\ndate: " in seen
        assert b"server:" not in seen


async def test_an_application_that_raises_is_a_500_and_its_words_are_not_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        async with open_server() as server, await server.connect() as peer:
            await peer.request("/boom")
            assert (await peer.rest()).startswith(b"HTTP/1.1 500")
            assert await server.is_well()
    assert [entry["event"] for entry in logs] == ["app_failed"]
    assert "ValueError" in str(logs)
    assert "secret" not in str(logs)


async def test_an_application_that_raises_in_its_body_closes_without_ending_the_body() -> None:
    with structlog.testing.capture_logs():
        async with open_server() as server, await server.connect() as peer:
            await peer.request("/break_off")
            seen = await peer.rest()
            assert seen.endswith(b"5\r\nfirst\r\n")
            assert await server.is_well()


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async with open_server() as server, await server.connect() as peer:
        await peer.send(b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(50):
            await peer.send(b"%x\r\n" % 50_000 + b"x" * 50_000 + b"\r\n")
        assert (await peer.rest()).endswith(b"no key")
        await server.diary.until("refused")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\4\0\0\0\0\0\1oops",
        b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n",
    ],
)
async def test_garbage_ends_its_own_connection_only(garbage: bytes) -> None:
    with structlog.testing.capture_logs():
        async with open_server() as server, await server.connect() as peer, await server.connect() as other:
            await other.request("/stream")
            await other.until(b"first")
            await peer.send(garbage)
            assert await peer.is_closed()
            server.app.go.set()
            assert await other.until(b"last")
            assert await server.is_well()
