"""Files that the senders bring along: uploaded or linked to, and what is sent when that fails."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from app.core.errors import Problem
from app.providers.whatsapp.line import File, MediaContent, Refused, TextContent
from app.storage.media import StoredMedia
from channels.outbound.enclosing import TWILIO_MOST, Files
from tests.channels.sending import Shop, Street, open_shop, running, states
from tests.storage.making import DAY_0


class Store:
    async def read(self, tenant_id: str, media_id: str) -> tuple[File, StoredMedia]:
        if media_id == "gone":
            raise Problem("not_found", "There is no such file.")
        size = TWILIO_MOST + 1 if media_id == "med_large" else 4
        return File(b"OggS", "audio/ogg"), StoredMedia(media_id, "m", "audio/ogg", size, "", "note.ogg", DAY_0)


@pytest.mark.parametrize(
    ("provider", "kept", "refused", "sent"),
    [
        ("meta", "med_1", False, MediaContent("audio", media_id="media-1", voice=True, otherwise="words")),
        ("twilio", "med_1", False, MediaContent("audio", link="https://us/med_1", voice=True, otherwise="words")),
        ("meta", "gone", False, TextContent("words")),
        ("twilio", "gone", False, TextContent("words")),
        ("twilio", "med_large", False, TextContent("words")),
        ("meta", "med_1", True, TextContent("words")),
    ],
)
async def test_a_file_of_ours_is_brought_along_or_its_text_is_sent(
    autojump_clock: MockClock, street: Street, provider: str, kept: str, refused: bool, sent: object
) -> None:
    async def refuse(_data: bytes) -> str:
        raise Refused("media", "131053", "Upload failed")

    street.provider.upload_act = refuse if refused else None
    shop = await street.do(lambda db: open_shop(db, provider=provider))
    note = MediaContent("audio", kept=kept, voice=True, otherwise="words")
    await street.do(lambda db: shop.say(db, note))
    files = Files(Store(), lambda _tenant, media_id: f"https://us/{media_id}")
    async with running(street.senders(files=files)):
        await trio.sleep(2)
    assert [letter.content for letter in street.provider.letters] == [sent]
    assert await states(street, shop) == ["accepted"]


async def test_an_upload_that_hangs_is_given_up_and_tried_again_since_nothing_was_sent(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    async def hang(_data: bytes) -> str:
        if len(street.provider.uploads) == 1:
            await trio.sleep_forever()
        return "media-2"

    street.provider.upload_act = hang
    await street.do(lambda db: shop.say(db, MediaContent("audio", kept="med_1")))
    async with running(street.senders(files=Files(Store()))):
        await trio.sleep(30)
    assert [letter.content for letter in street.provider.letters] == [MediaContent("audio", media_id="media-2")]
