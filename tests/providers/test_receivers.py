"""The way out to hosts that tenants name: where it refuses to go, and what it makes of receivers that misbehave."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from socket import gaierror
from urllib.parse import urlsplit

import pytest
import trio

from app.providers import receivers
from app.providers.receivers import NO_ADDRESS, REPLY_CAP, Address, Loaded, Receivers, Resolver, TooLarge, Unreachable
from tests.certificate import self_signed
from tests.providers.names import Names
from tests.providers.peer import OK, Line, Peer, open_peer

HEADERS = [(b"X-Test", b"1")]
HOST = "receiver.example"


def named(peer: Peer, path: str = "/hook", host: str = HOST) -> str:
    """A URL that leads to the peer if the name does, and the port."""
    return f"{urlsplit(peer.url).scheme}://{host}:{urlsplit(peer.url).port}{path}"


async def words(way: Receivers, url: str) -> str:
    with pytest.raises(Unreachable) as raised:
        await way.post(url, HEADERS, b"{}")
    return str(raised.value)


async def test_the_body_arrives_as_it_is_with_its_headers() -> None:
    async with open_peer() as peer:
        answer = await Receivers(private=True).post(f"{peer.url}/hook?a=b", HEADERS, b'{"a": 1}')
    assert (answer.status, answer.body) == (200, b"ok")
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"a": 1}'
    host = peer.url.removeprefix("http://").encode()
    lines = [b"POST /hook?a=b HTTP/1.1", b"Host: " + host, b"X-Test: 1", b"Content-Length: 8", b"Connection: close"]
    assert head.split(b"\r\n") == lines


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["169.254.169.254"], ["0.0.0.0"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]),  # noqa: S104
        *(["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1111", "fe80::1%lo"], []),
    ],
)
async def test_a_name_with_one_address_that_is_not_public_is_not_connected_to(addresses: list[str]) -> None:
    async with open_peer() as peer:
        port = urlsplit(peer.url).port
        assert await words(Receivers(resolve=Names(addresses)), f"https://{HOST}:{port}/") == NO_ADDRESS
        assert peer.connections == 0


async def test_a_name_that_leads_elsewhere_a_moment_later_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is connected to is the address that was checked: the name is asked for once."""
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    opened: list[tuple[str, int]] = []

    async def refuse(address: Address, port: int) -> trio.SocketStream:
        opened.append((str(address), port))
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(receivers, "_open", refuse)
    way = Receivers(resolve=names)
    assert await words(way, f"https://{HOST}/") == "could not connect: refused"
    assert (opened, names.asked) == ([("8.8.8.8", 443)], [HOST])
    assert await words(way, f"https://{HOST}/") == NO_ADDRESS
    assert (opened, names.asked) == ([("8.8.8.8", 443)], [HOST, HOST])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[fe80::1%25lo]"]
)
async def test_no_way_of_writing_an_address_leads_inside(host: str) -> None:
    names = Names(["8.8.8.8"])
    async with open_peer() as peer:
        await words(Receivers(resolve=names), f"https://{host}:{urlsplit(peer.url).port}/")
        assert (peer.connections, names.asked) == (0, [])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
async def test_the_systems_own_names_are_resolved_and_seen_through(host: str) -> None:
    found = await Resolver()(host)
    assert found
    assert all(address.is_loopback for address in found)


async def test_a_name_that_does_not_exist_is_no_address() -> None:
    async def unknown(_host: str) -> Sequence[Address]:
        raise gaierror("Name or service not known")

    assert await words(Receivers(resolve=unknown), "https://nobody.example/") == NO_ADDRESS


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def redirect(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")

    async with open_peer(redirect) as peer:
        assert (await Receivers(private=True).post(peer.url, HEADERS, b"{}")).status == 302
        assert peer.connections == 1


async def test_of_a_huge_answer_only_the_beginning_is_read() -> None:
    async def flood(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await line.send(b"x" * 65536)

    async with open_peer(flood) as peer:
        answer = await Receivers(private=True).post(peer.url, HEADERS, b"{}")
        await peer.hung_up.wait()
    assert answer.body == b"x" * REPLY_CAP


@pytest.mark.parametrize(
    "rest",
    [b"", b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"],
    ids=["in the head", "in the body", "in a chunk"],
)
async def test_a_connection_that_breaks_after_the_status_loses_nothing_but_the_body(rest: bytes) -> None:
    async def cut(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\n" + rest)

    async with open_peer(cut) as peer:
        way = Receivers(private=True)
        if rest:
            assert (await way.post(peer.url, HEADERS, b"{}")).status == 200
        else:
            assert "the connection broke" in await words(way, peer.url)


async def test_a_body_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\na")
        await line.hold()

    monkeypatch.setattr(receivers, "REPLY_S", 0.05)
    async with open_peer(drip) as peer:
        answer = await Receivers(private=True).post(peer.url, HEADERS, b"{}")
        await peer.hung_up.wait()
    assert (answer.status, answer.body) == (200, b"a")


async def test_a_status_that_came_in_time_counts_whatever_follows() -> None:
    async def drip(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\na")
        await line.hold()

    async with open_peer(drip) as peer:
        with trio.fail_after(0.3):
            assert (await Receivers(private=True).post(peer.url, HEADERS, b"{}")).status == 200


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000])
async def test_what_is_no_http_is_no_answer(answer: bytes) -> None:
    async def talk(line: Line) -> None:
        await line.request()
        await line.send(answer)

    async with open_peer(talk) as peer:
        assert "the connection broke" in await words(Receivers(private=True), peer.url)


async def test_a_port_where_nobody_listens_says_so() -> None:
    assert "could not connect" in await words(Receivers(private=True), "http://127.0.0.1:9/")


async def test_the_next_address_of_a_name_is_tried() -> None:
    async with open_peer() as peer:
        way = Receivers(private=True, resolve=Names(["127.0.0.2", "::1", "127.0.0.1"]))
        assert (await way.post(named(peer), HEADERS, b"{}")).status == 200


async def test_a_cancel_closes_the_socket() -> None:
    async def silence(line: Line) -> None:
        await line.request()
        await line.hold()

    async with open_peer(silence) as peer:
        with trio.move_on_after(0.1):
            await Receivers(private=True).post(peer.url, HEADERS, b"{}")
        with trio.fail_after(1):
            await peer.hung_up.wait()


def contexts(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext, list[str | None]]:
    """A server's context, a client's that trusts it and nobody else, and the names that clients ask the server for."""
    files = self_signed(folder, host)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    asked: list[str | None] = []
    server.load_cert_chain(files["certfile"], files["keyfile"])
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    return server, ssl.create_default_context(cafile=files["certfile"]), asked


async def test_over_tls_the_certificate_must_be_of_the_name_though_the_address_was_given(tmp_path: Path) -> None:
    server, client, asked = contexts(tmp_path, HOST)
    async with open_peer(ssl_context=server) as peer:
        way = Receivers(private=True, resolve=Names(["127.0.0.1"]), tls=client)
        assert (await way.post(named(peer), HEADERS, b"{}")).body == b"ok"
        assert "certificate" in await words(way, named(peer, host="another.example"))
        assert (asked, len(peer.requests)) == ([HOST, "another.example"], 1)


async def test_a_certificate_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    server, _, _ = contexts(tmp_path, HOST)
    async with open_peer(ssl_context=server) as peer:
        assert "certificate" in await words(Receivers(private=True, resolve=Names(["127.0.0.1"])), named(peer))
        assert peer.requests == []


async def test_an_answer_that_comes_early_counts_although_the_body_was_not_read() -> None:
    async def refuse(line: Line) -> None:
        await line.send(OK)
        await line.hold()

    async with open_peer(refuse) as peer:
        assert (await Receivers(private=True).post(peer.url, HEADERS, b"x" * 10_000_000)).status == 200


async def test_a_file_is_loaded_whole_up_to_its_cap() -> None:
    async def give(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n\r\n")
        await line.send(b"x" * 5000)
        await line.hold()

    async with open_peer(give) as peer:
        way = Receivers(private=True)
        loaded = await way.get(f"{peer.url}/a?b=c", HEADERS, 5000)
        assert (loaded.status, loaded.body, loaded.headers["content-type"]) == (200, b"x" * 5000, "image/png")
        host = peer.url.removeprefix("http://").encode()
        head = [b"GET /a?b=c HTTP/1.1", b"Host: " + host, b"X-Test: 1", b"Connection: close"]
        assert peer.requests[0].rstrip().split(b"\r\n") == head
        with pytest.raises(TooLarge):
            await way.get(peer.url, HEADERS, 4999)


async def test_of_another_status_only_the_head_is_read() -> None:
    async def refuse(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 404 No\r\nContent-Length: 5000\r\n\r\n")
        await line.hold()

    async with open_peer(refuse) as peer:
        assert await Receivers(private=True).get(peer.url, [], 10) == Loaded(404, {"content-length": "5000"})


async def test_a_file_is_loaded_from_public_hosts_only() -> None:
    async with open_peer() as peer:
        with pytest.raises(Unreachable):
            await Receivers(resolve=Names(["127.0.0.1"])).get(named(peer).replace("http:", "https:"), [], 10)
        with pytest.raises(Unreachable):
            await Receivers().get(peer.url, [], 10)
        assert peer.connections == 0


async def test_a_file_that_breaks_off_is_not_loaded() -> None:
    async def break_off(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhalf")

    async with open_peer(break_off) as peer:
        with pytest.raises(Unreachable, match="broke"):
            await Receivers(private=True).get(peer.url, [], 5000)
