"""TLS: ALPN picks the protocol, and a client that does not finish its handshake is dropped."""

from __future__ import annotations

import ssl
from typing import Any

import httpx2
import pytest
import trio

from tests.certificate import self_signed
from tests.hostile.rig import Peer, Server, open_server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return self_signed(tmp_path_factory.mktemp("tls"))


async def connect_tls(server: Server, certificate: dict[str, Any]) -> Peer:
    context = ssl.create_default_context(cafile=certificate["certfile"])
    tcp = await trio.open_tcp_stream("127.0.0.1", server.port)
    return Peer(trio.SSLStream(tcp, context, server_hostname="127.0.0.1", https_compatible=True))


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
async def test_alpn_picks_the_protocol(certificate: dict[str, Any], http2: bool, version: str) -> None:
    trust = ssl.create_default_context(cafile=certificate["certfile"])
    async with open_server(**certificate) as server, httpx2.AsyncClient(http2=http2, verify=trust) as client:
        assert server.url.startswith("https://")
        for _ in range(3):
            reply = await client.post(f"{server.url}/ok", content=b"x" * 100_000)
            assert (reply.http_version, reply.text) == (version, "ok 100000")


async def test_a_head_goes_out_over_tls_even_if_the_application_then_waits(certificate: dict[str, Any]) -> None:
    async with open_server(**certificate) as server, await connect_tls(server, certificate) as peer:
        await peer.request("/head")
        await peer.until(b"\r\n\r\n")
        server.app.go.set()
        assert await peer.until(b"body") == b"body"


async def test_a_hang_up_over_tls_is_heard(certificate: dict[str, Any]) -> None:
    async with open_server(**certificate) as server:
        async with await connect_tls(server, certificate) as peer:
            await peer.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nx")
            await server.diary.until("wait begun")
        await server.diary.until("http.disconnect")


async def test_a_client_that_does_not_read_over_tls_is_cut_at_the_write_deadline(certificate: dict[str, Any]) -> None:
    async with (
        open_server(**certificate, write_deadline_s=0.3) as server,
        await connect_tls(server, certificate) as peer,
    ):
        await peer.request("/flood")
        await server.diary.until("http.disconnect")


async def test_a_client_that_says_nothing_is_dropped_at_the_handshake_deadline(certificate: dict[str, Any]) -> None:
    async with open_server(**certificate, handshake_deadline_s=0.2) as server, await server.connect() as peer:
        assert await peer.is_closed()


async def test_clear_text_to_a_tls_port_ends_its_own_connection_only(certificate: dict[str, Any]) -> None:
    async with open_server(**certificate) as server, await server.connect() as peer:
        await peer.request("/ok")
        assert await peer.is_closed()
        async with await connect_tls(server, certificate) as other:
            await other.request("/ok")
            assert await other.until(b"ok 0")
