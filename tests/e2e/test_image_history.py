"""GET /v1/images/history and the files behind it: what was delivered and paid for, for its own tenant, for a while."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import msgspec
import openai
import pytest
import trio

from app.core.file_links import FileLink, image_links
from app.core.identity import new_id, now_us
from app.storage import images
from app.storage.blobs import Blobs
from app.storage.database import Transaction
from scripts.simulator.media import PNG
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller
from tests.e2e.leaving import leave
from tests.house import SECRET, Customer, add_customer
from tests.storage.making import make_image

GENERATIONS: Final = "/v1/images/generations"
HISTORY: Final = "/v1/images/history"
FILES: Final = "/v1/images/files"
CREDIT: Final = 1_000_000
FIELDS: Final = (
    *("id", "url", "model", "size", "prompt", "negative_prompt", "revised_prompt", "seed", "steps", "created"),
)


async def draw(caller: Caller, prompt: str = "a lamp", **fields: Any) -> httpx2.Response:
    reply = await caller.post({"model": "lucid-origin", "prompt": prompt, **fields}, GENERATIONS)
    assert reply.status_code == 200, reply.text
    return reply


async def history(caller: Caller, who: Customer | None = None, **query: object) -> Json:
    who = who or caller.house.customer
    headers = {"authorization": f"Bearer {who.key}"}
    reply = await caller.http.get(HISTORY, params={name: str(value) for name, value in query.items()}, headers=headers)
    assert reply.status_code == 200, reply.text
    body: Json = reply.json()
    return body


async def listed(caller: Caller, who: Customer | None = None) -> list[Json]:
    rows: list[Json] = (await history(caller, who))["data"]
    return rows


def files(caller: Caller) -> list[Path]:
    return list(Path(caller.house.settings.blob_dir).rglob("img_*"))


async def fetch(url: str, method: str = "GET", **headers: str) -> httpx2.Response:
    """As somebody without a key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(timeout=5) as http:
        return await http.request(method, url, headers=named)


@ON_BOTH
async def test_what_the_sdk_drew_is_listed_newest_first_and_opens_without_a_key(caller: Caller) -> None:
    async with openai.AsyncOpenAI(base_url=f"{caller.house.url}/v1", api_key=caller.house.customer.key) as sdk:
        await sdk.images.generate(model="lucid-origin", prompt="first", n=2, size="1024x512", extra_body={"seed": 7})
        await sdk.images.generate(model="flux-2-pro", prompt="second")
    rows = await listed(caller)
    assert [tuple(row) for row in rows] == [FIELDS] * 3
    assert [(row["model"], row["prompt"], row["size"], row["seed"]) for row in rows] == [
        ("flux-2-pro", "second", "1024x1024", None),
        ("lucid-origin", "first", "1024x512", 8),
        ("lucid-origin", "first", "1024x512", 7),
    ]
    assert all(row["url"].startswith(f"{caller.house.url}{FILES}/") for row in rows)
    for row in rows:
        reply = await fetch(row["url"])
        assert (reply.status_code, reply.content) == (200, PNG)


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


async def test_what_the_model_was_asked_for_is_told_and_not_what_was_left_out(caller: Caller) -> None:
    await draw(caller, model="flux-2-klein-9b", negative_prompt="dark", steps=30)
    await draw(caller, model="phoenix-1.0", negative_prompt="dark", steps=50, size="4096x70")
    latest, first = await listed(caller)
    assert (first["negative_prompt"], first["steps"], first["revised_prompt"]) == (None, None, None)
    sent = caller.upstream()[1].body
    assert latest["negative_prompt"] == sent["negative_prompt"] == "dark"
    assert latest["steps"] == sent["num_steps"] <= 50
    assert latest["size"] == f"{sent['width']}x{sent['height']}"


@ON_BOTH
async def test_a_prompt_with_any_character_is_charged_kept_and_told(caller: Caller) -> None:
    prompt = "a \0 lamp \t'\"\\ \U0001f642 हिन्दी"
    await draw(caller, prompt)
    assert [row["prompt"] for row in await listed(caller)] == [prompt]
    assert caller.books().charged == 8 * CREDIT


@ON_BOTH
async def test_forty_five_images_of_one_moment_are_paged_without_a_gap(caller: Caller) -> None:
    tenant_id, at = caller.house.customer.tenant_id, now_us()
    made = sorted((new_id("img_", at) for _ in range(45)), reverse=True)

    def store(db: Transaction) -> None:
        for image_id in made:
            images.store(db, tenant_id, whole(image_id, at))

    elsewhere(caller.house, store)
    pages = [await history(caller)]
    while (cursor := pages[-1]["next_cursor"]) is not None:
        pages.append(await history(caller, before=cursor))
    assert [len(page["data"]) for page in pages] == [20, 20, 5]
    assert [row["id"] for page in pages for row in page["data"]] == made
    assert len((await history(caller, limit=100))["data"]) == 45
    created = pages[0]["data"][0]["created"]
    assert (await history(caller, before=created))["data"] == []
    assert len((await history(caller, before="2100-01-01", limit=1))["data"]) == 1


def whole(image_id: str, at_us: int) -> images.StoredImage:
    details = {"size": "64x64", "prompt": "x", **dict.fromkeys(("negative_prompt", "revised_prompt", "seed", "steps"))}
    return replace(make_image(image_id, at_us), details=msgspec.json.encode(details).decode())


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "before=soon", "before=2026-01-01T00:00:00Z_%00"])
async def test_a_bad_page_is_refused_by_name(caller: Caller, query: str) -> None:
    reply = await caller.http.get(f"{HISTORY}?{query}")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (
        *(400, "invalid_request_error", query.partition("=")[0]),
    )


async def test_the_history_needs_the_permission_for_images(caller: Caller) -> None:
    narrow = elsewhere(caller.house, lambda db: add_customer(db, "Narrow", permissions="llm"))
    reply = await caller.http.get(HISTORY, headers={"authorization": f"Bearer {narrow.key}"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "permission_denied")


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


@ON_BOTH
async def test_images_that_cannot_be_kept_are_delivered_and_charged_all_the_same(database_url: str) -> None:
    async with open_caller(database_url, blob_dir="/dev/null/blobs") as caller:
        assert len((await draw(caller, n=2)).json()["data"]) == 2
        assert caller.books().charged == 16 * CREDIT
        assert await listed(caller) == []


async def test_an_answer_that_is_given_again_is_in_the_history_once(caller: Caller) -> None:
    for _ in range(2):
        reply = await caller.post({"model": "lucid-origin", "prompt": "a lamp"}, GENERATIONS, idempotency_key="1")
        assert reply.status_code == 200
    assert len(await listed(caller)) == 1


async def test_a_client_that_leaves_before_it_is_charged_for_the_whole_finds_nothing_in_its_history(
    caller: Caller,
) -> None:
    """One of two is done when it leaves."""
    body = {"model": "lucid-origin", "prompt": "a lamp [mock=hang_once:lamp]", "n": 2}
    await leave(caller, GENERATIONS, body, lambda records: any(each.outcome == "finished" for each in records))
    assert await listed(caller) == []


@ON_BOTH
async def test_a_client_that_leaves_while_files_are_written_pays_and_finds_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = False

    async def hang(*_: object) -> None:
        nonlocal writing
        writing = True
        await trio.sleep_forever()

    monkeypatch.setattr(Blobs, "keep", hang)
    await leave(caller, GENERATIONS, {"model": "lucid-origin", "prompt": "a lamp"}, lambda _: writing)
    assert caller.rows("SELECT state, outcome, charge, rule FROM calls") == [("posted", "cancelled", 8 * CREDIT, "B4")]
    assert await listed(caller) == []


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
