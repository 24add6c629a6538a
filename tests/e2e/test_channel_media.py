"""Files of messages by signed link: what a bot says aloud at Twilio, which fetches what it is to send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx2
import msgspec
import pytest
import trio

from app.core.file_links import FileLink, image_links, media_links
from app.core.identity import new_id, now_us
from app.storage import media
from app.storage.media import StoredMedia
from app.switchboard import MEDIA
from channels.media_links import LIFE_S, PATH
from scripts.clustering.postgres import free_port
from scripts.simulator.whatsapp.sayings import Saying
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, elsewhere, open_caller, until
from tests.e2e.whatsapp import PROMPT, SCOPES, TWILIO, Json, open_shop
from tests.house import SECRET, add_customer

VOICE_BOT: Final[Json] = {**PROMPT, "type": "whatsapp_voice"}
OGG: Final = b"OggS" + bytes(range(256))
LINKS: Final = media_links(SECRET)


def later() -> int:
    return now_us() // 1_000_000 + LIFE_S


async def ask(caller: Caller, token: str, method: str = "GET") -> httpx2.Response:
    """As somebody without a key."""
    async with httpx2.AsyncClient(base_url=caller.house.url, timeout=5) as http:
        return await http.request(method, f"{PATH}/{token}")


async def keep(caller: Caller, data: bytes = OGG, media_type: str = "audio/ogg", name: str = "") -> str:
    """A link to a file of the house's customer."""
    tenant, row = caller.house.customer.tenant_id, new_id("med_", now_us())
    stored = StoredMedia(row, "message", media_type, len(data), "", name, now_us())
    elsewhere(caller.house, lambda db: media.insert_media(db, tenant, stored))
    folder = trio.Path(caller.house.settings.blob_dir, ".media", tenant, row[4:8])
    await folder.mkdir(parents=True, exist_ok=True)
    await (folder / row).write_bytes(data)
    return LINKS.sign(FileLink(tenant, row, later()))


@pytest.fixture
async def at_its_address(database_url: str) -> AsyncIterator[Caller]:
    port = free_port()
    public_url = f"http://127.0.0.1:{port}/"
    async with open_caller(database_url, customer=SCOPES, port=port, public_url=public_url) as opened:
        yield opened


def charges(caller: Caller) -> list[str]:
    return [row[0] for row in caller.rows("SELECT category FROM calls WHERE charge > 0 ORDER BY opened_at")]


@ON_BOTH
async def test_at_twilio_too_a_voice_note_is_answered_with_a_voice_note(at_its_address: Caller) -> None:
    caller = at_its_address
    shop = await open_shop(caller.house, caller.house.url, TWILIO, bot=VOICE_BOT, debounce_media_seconds=0)
    shop.say(Saying(type="voice", ms=2000))
    (answer,) = await shop.hears()
    (link,) = answer["body"]["links"]
    assert (answer["type"], answer["text"]) == ("media", "")
    assert link.startswith(f"{caller.house.url}{PATH}/{caller.house.customer.tenant_id}.med_")
    file = await ask(caller, link.rpartition("/")[2])
    assert (file.status_code, file.headers["content-type"], file.content[:4]) == (200, "audio/ogg", b"OggS")

    async def is_read() -> bool:
        return shop.number.counts["statuses_read"] == 1

    await until(is_read)
    assert (shop.number.counts["links_fetched"], shop.number.counts["links_failed"]) == (1, 0)
    assert charges(caller) == ["stt", "llm", "tts"]
    shop.say("[tokens=8] and in writing?")
    assert (await shop.hears(2))[1]["type"] == "text"


@ON_BOTH
async def test_a_voice_note_that_the_disk_refuses_is_written_instead_and_not_paid_for(
    at_its_address: Caller,
) -> None:
    caller = at_its_address
    folder = trio.Path(caller.house.settings.blob_dir)
    await folder.mkdir(parents=True, exist_ok=True)
    await (folder / MEDIA).write_bytes(b"no folder")
    shop = await open_shop(caller.house, caller.house.url, bot=VOICE_BOT, debounce_media_seconds=0)
    shop.say(Saying(type="voice", ms=2000))
    (answer,) = await shop.hears()
    assert answer["type"] == "text"
    assert charges(caller) == ["stt", "llm"]
    assert caller.rows("SELECT state, charge FROM calls WHERE category = 'tts'") == [("voided", 0)]


async def test_a_file_comes_whole_with_what_a_browser_needs_to_be_safe(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.channel_media.PIECE", 100)
    token = await keep(caller)
    reply = await ask(caller, token)
    assert (reply.status_code, reply.content) == (200, OGG)
    named = ("content-type", "content-length", "x-content-type-options", "content-security-policy")
    told = ["audio/ogg", str(len(OGG)), "nosniff", "default-src 'none'; sandbox"]
    assert [reply.headers[name] for name in named] == told
    kind, _, seconds = reply.headers["cache-control"].partition(", max-age=")
    assert (kind, LIFE_S - 10 <= int(seconds) <= LIFE_S) == ("private", True)
    assert "content-disposition" not in reply.headers
    head = await ask(caller, token, "HEAD")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(OGG)))


@pytest.mark.parametrize(
    ("media_type", "shown_as", "saved_as"),
    [
        ("audio/ogg; codecs=opus", "audio/ogg; codecs=opus", None),
        ("image/png", "image/png", None),
        ("application/pdf", "application/pdf", "attachment; filename*=UTF-8''a%22%0Ab.x"),
        ("image/svg+xml", "application/octet-stream", "attachment; filename*=UTF-8''a%22%0Ab.x"),
        ("text/html", "application/octet-stream", "attachment; filename*=UTF-8''a%22%0Ab.x"),
        ("image/png\r\nset-cookie: a=b", "application/octet-stream", "attachment; filename*=UTF-8''a%22%0Ab.x"),
    ],
)
async def test_what_might_run_something_is_only_saved(
    caller: Caller, media_type: str, shown_as: str, saved_as: str | None
) -> None:
    reply = await ask(caller, await keep(caller, media_type=media_type, name='a"\nb.x'))
    assert (reply.status_code, reply.content) == (200, OGG)
    assert (reply.headers["content-type"], reply.headers.get("content-disposition")) == (shown_as, saved_as)
    assert "set-cookie" not in reply.headers


@ON_BOTH
async def test_whatever_is_no_link_is_answered_byte_for_byte_alike(caller: Caller) -> None:
    token, tenant = await keep(caller), caller.house.customer.tenant_id
    other = elsewhere(caller.house, lambda db: add_customer(db, "Other"))
    media_id = token.split(".")[1]
    lost = await keep(caller, b"")
    tokens = (
        *("x", token[:-1], f"{token}A", token.replace("med_", "img_"), f"x/{token}", "a" * 4000),
        *("..%2f..%2fetc%2fpasswd", "%00", "%ff", lost),
        LINKS.sign(FileLink(tenant, media_id, now_us() // 1_000_000)),
        LINKS.sign(FileLink(other.tenant_id, media_id, later())),
        LINKS.sign(FileLink(tenant, new_id("med_", now_us()), later())),
        media_links("another secret").sign(FileLink(tenant, media_id, later())),
        image_links(SECRET).sign(FileLink(tenant, media_id, later())),
    )
    answers = {(reply.status_code, reply.content) for reply in [await ask(caller, each) for each in tokens]}
    assert len(answers) == 1
    status, body = answers.pop()
    assert (status, msgspec.json.decode(body)["error"]["code"]) == (404, "not_found")
    assert (await ask(caller, token)).content == OGG


async def test_a_file_that_is_deleted_is_gone_for_its_link_too(caller: Caller) -> None:
    token = await keep(caller)
    elsewhere(caller.house, lambda db: media.sweep(db, now_us(), 1))
    assert (await ask(caller, token)).status_code == 404


async def test_who_reads_the_access_log_cannot_use_the_links(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with open_caller(tmp_path, access_log=True, access_log_file=str(log)) as caller:
        token = await keep(caller)
        assert (await ask(caller, token)).status_code == 200
    assert (f'"path":"{PATH}/"' in log.read_text(), token.rpartition(".")[2] in log.read_text()) == (True, False)
