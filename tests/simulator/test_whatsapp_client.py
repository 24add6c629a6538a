"""How the simulator posts webhooks: connections that are kept, closed, refused, late, or behind TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio

from scripts.simulator.whatsapp.wire import Outgoing, Reply, open_wire
from tests.certificate import self_signed
from tests.providers.peer import CHUNKED, OK, Act, Line, chunk, open_peer


def outgoing(url: str, body: bytes | None = b"{}", within_s: float = 5) -> Outgoing:
    return Outgoing(url, {"x-hub-signature-256": "sha256=0"}, body, within_s)


async def test_one_connection_serves_many_webhooks() -> None:
    async with open_peer() as peer, open_wire() as send:
        replies = [await send(outgoing(f"{peer.url}/hook?a=1")) for _ in range(3)]
        assert await send(outgoing(peer.url, None)) == Reply(200, b"ok")
        assert replies == [Reply(200, b"ok")] * 3
        assert peer.connections == 1
        assert peer.requests[0].startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
        assert peer.requests[0].endswith(b"\r\n\r\n{}")
        assert peer.requests[3].startswith(b"GET / HTTP/1.1\r\n")


async def test_a_connection_that_the_host_has_closed_meanwhile_is_not_used() -> None:
    async def answer_once(line: Line) -> None:
        await line.request()
        await line.send(OK)

    async with open_peer(answer_once) as peer, open_wire() as send:
        for _ in range(3):
            assert (await send(outgoing(peer.url))).status == 200
            await trio.sleep(0.05)
        assert peer.connections == 3


async def test_a_chunked_reply_and_its_type_are_read() -> None:
    async def answer(line: Line) -> None:
        await line.request()
        head = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\n\r\n")
        await line.send(head + chunk(b"12") + chunk(b"34") + chunk(b""))

    async with open_peer(answer) as peer, open_wire() as send:
        assert await send(outgoing(peer.url, None)) == Reply(200, b"1234", "text/plain")


async def break_off(line: Line) -> None:
    await line.request()


async def break_reply(line: Line) -> None:
    await line.request()
    await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")


async def talk_nonsense(line: Line) -> None:
    await line.request()
    await line.send(b"no http\r\n\r\n")


async def hang(line: Line) -> None:
    await line.request()
    await line.hold()


@pytest.mark.parametrize("act", [break_off, break_reply, talk_nonsense, hang])
async def test_what_breaks_after_connecting_is_told_from_what_cannot_connect(act: Act) -> None:
    async with open_peer(act) as peer, open_wire() as send:
        assert await send(outgoing(peer.url, within_s=0.3)) == Reply(0, failure="rt")
        if act is hang:
            await peer.hung_up.wait()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:99999", "nowhere", "http://[half"])
async def test_nobody_there_is_a_failure_to_connect(url: str) -> None:
    async with open_wire() as send:
        assert await send(outgoing(url)) == Reply(0, failure="ct")


async def test_a_gateway_on_this_machine_may_have_signed_its_own_certificate(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["certfile"], files["keyfile"])
    async with open_peer(ssl_context=context) as peer, open_wire() as send:
        assert [(await send(outgoing(peer.url))).status for _ in range(2)] == [200, 200]
