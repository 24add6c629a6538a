"""Files of users: from the provider's hosts only, with its credentials only there, whole, and of the right hash."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from app.providers.receivers import Receivers
from app.providers.whatsapp import media
from app.providers.whatsapp.line import File, FileWanted, MediaUnavailable
from tests.certificate import self_signed
from tests.providers.names import Names
from tests.providers.peer import Act, Line, Peer, open_peer
from tests.providers.whatsapp.talking import (
    AUTH_TOKEN,
    SID,
    TOKEN,
    answer,
    breaks_after_reading,
    falls_silent,
    parts,
    says,
    to_meta,
    to_twilio,
)

OGG = b"OggS\0\x02 a voice note"
HASH = sha256(OGG)
CAP = 1000
WANTED = FileWanted("1908", "", "audio/ogg; codecs=opus", HASH.hexdigest())


def meta_files(*files: bytes, **found: Any) -> Act:
    """Answers each look-up with a URL of its own, and each download with the next of `files`."""
    left = list(files)

    async def act(line: Line) -> None:
        while True:
            request = await line.request()
            if b"phone_number_id=" in request.split(b"\r\n")[0]:
                own = {"url": f"{line.peer.url}/file", "mime_type": "audio/ogg", "file_size": len(OGG)}
                await line.send(answer(200, own | found))
            else:
                await line.send(left.pop(0))

    return act


async def refused(line: Any, wanted: FileWanted, cap: int = CAP) -> str:
    with pytest.raises(MediaUnavailable) as raised:
        await line.fetch(wanted, cap)
    words = str(raised.value)
    assert TOKEN not in words
    assert AUTH_TOKEN not in words
    assert "://" not in words
    return words


@asynccontextmanager
async def abroad(folder: Path, host: str, act: Act) -> AsyncIterator[tuple[Peer, Receivers, int]]:
    """A TLS host of this name, the way that leads to it, and its port."""
    files = self_signed(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certfile"], files["keyfile"])
    async with open_peer(act, ssl_context=context) as peer:
        trusting = ssl.create_default_context(cafile=files["certfile"])
        way = Receivers(private=True, resolve=Names(["127.0.0.1"]), tls=trusting)
        yield peer, way, urlsplit(peer.url).port or 0


@pytest.mark.parametrize(
    ("ours", "metas"),
    [
        (HASH.hexdigest(), base64.b64encode(HASH.digest()).decode()),
        (HASH.hexdigest().upper(), HASH.hexdigest()),
        ("", HASH.hexdigest()),
        ("", ""),
    ],
)
async def test_a_file_is_looked_up_and_loaded_with_the_token(ours: str, metas: str) -> None:
    wanted = FileWanted("19/08", "https://ignored.example/", "audio/ogg; codecs=opus", ours)
    async with to_meta(meta_files(answer(200, OGG), sha256=metas)) as (line, peer):
        assert await line.fetch(wanted, len(OGG)) == File(OGG, "audio/ogg")
    first, second = map(parts, peer.requests)
    assert first[0] == b"GET /v25.0/19%2F08?phone_number_id=106540352242922 HTTP/1.1"
    assert second[0] == b"GET /file HTTP/1.1"
    assert first[1]["authorization"] == second[1]["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("files", "found", "words"),
    [
        ([answer(200, OGG + b"!")], {}, "SHA-256"),
        ([answer(200, OGG)], {"sha256": "0" * 64}, "SHA-256"),
        ([answer(200, OGG)], {"sha256": "not one"}, "SHA-256"),
        ([], {"file_size": CAP + 1}, "larger"),
        ([answer(200, b"x" * (CAP + 1))], {"file_size": None}, "larger"),
        ([], {"url": None}, "no place"),
        ([], {"url": "https://evil.example/file"}, "not the provider's"),
        ([], {"url": "https://evilfbsbx.com/file"}, "not the provider's"),
        ([], {"url": "http://lookaside.fbsbx.com/file"}, "not the provider's"),
        ([], {"url": "https://127.0.0.1/file"}, "not the provider's"),
        ([], {"url": "file:///etc/passwd"}, "no place"),
        ([answer(307, None, b"Location: http://127.0.0.1:9/")], {}, "not the provider's"),
        ([answer(302, None, b"Location: https://evil.example/")], {}, "not the provider's"),
        ([answer(302, None, b"Location: /again")] * 4, {}, "one place to the next"),
    ],
)
async def test_what_another_look_would_not_change_is_not_looked_at_again(
    files: list[bytes], found: dict[str, Any], words: str
) -> None:
    async with to_meta(meta_files(*files, **found)) as (line, peer):
        assert words in await refused(line, WANTED)
        assert sum(b"phone_number_id=" in request for request in peer.requests) == 1
        assert len(peer.requests) == 1 + len(files)


@pytest.mark.parametrize("first", [answer(404), answer(500), b"broken\r\n\r\n", answer(302)])
async def test_what_is_not_there_is_looked_up_once_more(first: bytes) -> None:
    async with to_meta(meta_files(first, answer(200, OGG))) as (line, peer):
        assert (await line.fetch(WANTED, CAP)).data == OGG
        assert len(peer.requests) == 4
    async with to_meta(meta_files(first, first)) as (line, peer):
        await refused(line, WANTED)
        assert len(peer.requests) == 4


async def test_a_look_up_that_is_refused_is_the_end() -> None:
    gone = answer(400, {"error": {"code": 100, "message": f"no media {TOKEN}"}})
    async with to_meta(says(gone)) as (line, peer):
        assert "(100)" in await refused(line, WANTED)
        assert len(peer.requests) == 1


@pytest.mark.parametrize("sent", [answer(503), answer(500, {"error": {"code": 2}})])
async def test_a_look_up_that_fails_for_now_is_made_once_more(sent: bytes) -> None:
    async with to_meta(says(sent, sent)) as (line, peer):
        await refused(line, WANTED)
        assert len(peer.requests) == 2


async def test_a_message_without_a_file_asks_nobody() -> None:
    async with to_meta(says()) as (line, peer):
        await refused(line, FileWanted(url="https://lookaside.fbsbx.com/1"))
        assert peer.connections == 0


async def test_more_than_was_promised_is_not_read_to_its_end() -> None:
    sent = 0

    async def act(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await line.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            sent += 0x10000

    async with to_twilio(act) as (line, peer):
        assert "larger" in await refused(line, FileWanted(url=f"{peer.url}/Media/ME1"))
        with trio.fail_after(1):
            await peer.hung_up.wait()
        assert sent < 20_000_000


async def test_a_body_that_ends_early_is_no_file() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nOggS"

    async def act(line: Line) -> None:
        await line.request()
        await line.send(half)

    async with to_twilio(act) as (line, peer):
        await refused(line, FileWanted(url=f"{peer.url}/Media/ME1"))
        assert peer.connections == 2


async def test_metas_own_hosts_are_asked_over_tls_with_the_token(tmp_path: Path) -> None:
    async with abroad(tmp_path, "lookaside.fbsbx.com", says(answer(200, OGG))) as (files, way, port):
        found = {"url": f"https://lookaside.fbsbx.com:{port}/x?mid=1908", "mime_type": "audio/ogg"}
        async with to_meta(says(answer(200, found)), outside=way) as (line, _):
            assert (await line.fetch(WANTED, CAP)).data == OGG
        assert parts(files.requests[0])[1]["authorization"] == f"Bearer {TOKEN}"


async def test_a_name_of_metas_that_leads_inside_is_not_followed() -> None:
    found = {"url": "https://lookaside.fbsbx.com/x", "mime_type": "audio/ogg"}
    outside = Receivers(resolve=Names(["127.0.0.1"]))
    async with to_meta(says(answer(200, found), answer(200, found)), outside=outside) as (line, _):
        assert "could not be loaded" in await refused(line, WANTED)


async def test_twilio_gives_a_file_for_the_credentials() -> None:
    async with to_twilio(says(answer(200, OGG, b"Content-Type: audio/ogg"))) as (line, peer):
        wanted = FileWanted(url=f"{peer.url}/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1")
        assert await line.fetch(wanted, CAP) == File(OGG, "audio/ogg")
    credentials = base64.b64encode(f"{SID}:{AUTH_TOKEN}".encode()).decode()
    assert parts(peer.requests[0])[1]["authorization"] == f"Basic {credentials}"


async def test_a_redirect_to_another_host_goes_without_credentials(tmp_path: Path) -> None:
    async with abroad(tmp_path, "cdn.example", says(answer(200, OGG))) as (cdn, way, port):
        onward = answer(307, None, f"Location: https://cdn.example:{port}/f?sig=1".encode())
        async with to_twilio(says(answer(302, None, b"Location: /other"), onward), outside=way) as (line, peer):
            wanted = FileWanted(url=f"{peer.url}/Media/ME1", media_type="audio/ogg")
            assert (await line.fetch(wanted, CAP)).data == OGG
        assert ["authorization" in parts(request)[1] for request in peer.requests] == [True, True]
        assert "authorization" not in parts(cdn.requests[0])[1]


@pytest.mark.parametrize(
    "onward",
    [
        *(
            "http://127.0.0.1:9/",
            "https://127.0.0.1:9/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "//127.0.0.1:9/",
        ),
        *(
            "http://cdn.example/",
            "https://localhost/",
            "ftp://cdn.example/",
            "https://user@cdn.example/",
            "https://10.0.0.1/",
        ),
    ],
)
async def test_a_redirect_leads_to_public_hosts_over_tls_only(onward: str) -> None:
    sent = answer(307, None, f"Location: {onward}".encode())
    async with to_twilio(says(sent, sent)) as (line, peer):
        await refused(line, FileWanted(url=f"{peer.url}/Media/ME1"))


async def test_twilios_files_lie_at_twilio() -> None:
    async with to_twilio(says(answer(200, OGG))) as (line, peer):
        for url in ("https://evil.example/ME1", "http://127.0.0.1:9/", "", peer.url.replace("http:", "https:")):
            await refused(line, FileWanted(url=url))
        assert peer.connections == 0


async def test_four_redirects_are_too_many() -> None:
    async with to_twilio(says(*[answer(307, None, b"Location: /next")] * 5)) as (line, peer):
        assert "one place to the next" in await refused(line, FileWanted(url=f"{peer.url}/Media/ME1"))
        assert len(peer.requests) == 4


@pytest.mark.parametrize("act", [falls_silent, breaks_after_reading])
async def test_a_file_that_does_not_come_is_given_up_in_time(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "FETCH_S", 0.2)
    async with to_twilio(act) as (line, peer):
        await refused(line, FileWanted(url=f"{peer.url}/Media/ME1"))


async def test_a_cancelled_download_hangs_up() -> None:
    async with to_twilio(falls_silent) as (line, peer):
        with trio.move_on_after(0.1):
            await line.fetch(FileWanted(url=f"{peer.url}/Media/ME1"), CAP)
        with trio.fail_after(1):
            await peer.hung_up.wait()
