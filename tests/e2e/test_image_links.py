"""The links of the image history: who has one needs no key, leads nowhere else with it, and it ends."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest
import trio

from app.core.file_links import FileLink, image_links
from app.core.identity import new_id, now_us
from app.storage import images
from scripts.simulator.media import PNG
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, elsewhere, open_caller
from tests.e2e.drawing import FILES, draw, fetch, files, listed
from tests.house import SECRET, add_customer


async def test_a_file_comes_with_what_a_browser_needs_to_be_safe(caller: Caller) -> None:
    await draw(caller)
    (row,) = await listed(caller)
    headers = (await fetch(row["url"])).headers
    named = ("content-type", "content-length", "x-content-type-options", "content-security-policy", "etag")
    assert [headers[name] for name in named] == [
        *("image/png", str(len(PNG)), "nosniff", "default-src 'none'; sandbox"),
        f'"{hashlib.sha256(PNG).hexdigest()}"',
    ]
    kind, _, seconds = headers["cache-control"].partition(", max-age=")
    assert kind == "private"
    assert 590 <= int(seconds) <= 600
    again = await fetch(row["url"], if_none_match=headers["etag"])
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", headers["etag"])
    other = await fetch(row["url"], if_none_match='"other"')
    assert (other.status_code, other.content) == (200, PNG)
    head = await fetch(row["url"], "HEAD")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(PNG)))


@ON_BOTH
async def test_two_tenants_see_their_own_and_no_link_leads_across(caller: Caller) -> None:
    other = elsewhere(caller.house, lambda db: add_customer(db, "Other"))
    await draw(caller, "mine")
    assert await listed(caller, other) == []
    (row,) = await listed(caller)
    links, later = image_links(SECRET), now_us() // 1_000_000 + 60
    mine = links.sign(FileLink(caller.house.customer.tenant_id, row["id"], later))
    crossed = links.sign(FileLink(other.tenant_id, row["id"], later))
    assert (await fetch(f"{caller.house.url}{FILES}/{mine}")).content == PNG
    assert (await fetch(f"{caller.house.url}{FILES}/{crossed}")).status_code == 404


async def test_whatever_is_no_link_is_answered_byte_for_byte_alike(caller: Caller) -> None:
    await draw(caller)
    (row,) = await listed(caller)
    token = row["url"].rpartition("/")[2]
    links, past = image_links(SECRET), now_us() // 1_000_000 - 1
    tenant = caller.house.customer.tenant_id
    tokens = (
        *("x", token[:-1], f"{token}A", f"A{token}", token.replace("img_", "img-"), f"{token}/", f"x/{token}"),
        *("..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "%00", "%ff", "a" * 4000),
        links.sign(FileLink(tenant, row["id"], past)),
        links.sign(FileLink(tenant, new_id("img_", now_us()), past + 100)),
        image_links("another secret").sign(FileLink(tenant, row["id"], past + 100)),
    )
    address = urlsplit(caller.house.url)
    answers = {(404, (await fetch_raw(address.netloc, f"{FILES}/{text}")).partition(b"\r\n\r\n")[2]) for text in tokens}
    assert len(answers) == 1
    assert msgspec.json.decode(answers.pop()[1])["error"]["code"] == "not_found"


async def fetch_raw(netloc: str, target: str) -> bytes:
    """The answer to a path that a client library would have tidied up."""
    host, _, port = netloc.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as socket:
        await socket.send_all(f"GET {target} HTTP/1.1\r\nhost: {netloc}\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join([piece async for piece in socket])
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    return answer


async def test_an_image_that_was_deleted_is_gone_for_its_link_too(caller: Caller) -> None:
    await draw(caller)
    (row,) = await listed(caller)
    elsewhere(caller.house, lambda db: images.sweep(db, now_us(), 1))
    assert (await fetch(row["url"])).status_code == 404
    assert await listed(caller) == []


async def test_an_image_whose_file_is_lost_is_answered_like_one_that_never_was(caller: Caller) -> None:
    await draw(caller)
    (row,) = await listed(caller)
    for path in files(caller):
        path.unlink()
    lost, never = await fetch(row["url"]), await fetch(f"{caller.house.url}{FILES}/x")
    assert (lost.status_code, lost.content) == (never.status_code, never.content) == (404, never.content)


async def test_links_begin_with_the_address_that_clients_use(database_url: str) -> None:
    async with open_caller(database_url, public_url="https://api.example.com/") as caller:
        await draw(caller)
        (row,) = await listed(caller)
        assert row["url"].startswith(f"https://api.example.com{FILES}/{caller.house.customer.tenant_id}.img_")


async def test_a_large_file_is_sent_piece_by_piece_as_it_is(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.images.PIECE", 10)
    await draw(caller)
    (row,) = await listed(caller)
    assert (await fetch(row["url"])).content == PNG


async def test_a_file_that_is_cut_short_breaks_off_and_is_not_taken_for_whole(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.images.PIECE", 10)
    await draw(caller)
    (row,) = await listed(caller)
    for path in files(caller):
        path.write_bytes(PNG[:25])
    with pytest.raises(httpx2.RemoteProtocolError):
        await fetch(row["url"])


async def test_who_reads_the_access_log_cannot_use_the_links(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with open_caller(database_url, access_log=True, access_log_file=str(log)) as caller:
        await draw(caller)
        (row,) = await listed(caller)
        assert (await fetch(row["url"])).status_code == 200
        assert (await fetch(f"{row['url']}x")).status_code == 404
        assert (await fetch(row["url"], "POST")).status_code == 405
    lines = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
    assert [(line["path"], line["status"]) for line in lines if line["path"].startswith(FILES)] == [
        *((f"{FILES}/", status) for status in (200, 404, 405)),
    ]
    assert row["url"].rpartition(".")[2] not in log.read_text()
