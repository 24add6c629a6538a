"""A bot that was silenced answers again by itself only where it is set to, after everybody has been silent."""

from __future__ import annotations

import pytest

from channels.whatsapp.updates import Echo
from tests.channels.mailroom import ASHA, NOW_S, open_mailroom, text
from tests.databases import ON_BOTH

pytestmark = ON_BOTH
ECHO = Echo("wamid.E", NOW_S, ASHA, "text", "I am here")
HALF_AN_HOUR = {"resume_minutes": 30}


@pytest.mark.parametrize(
    ("config", "silence_s", "autoreply"),
    [(HALF_AN_HOUR, 1800, 1), (HALF_AN_HOUR, 1799, 0), ({}, 86_399, 0), ({"resume_minutes": 0}, 1800, 0)],
)
async def test_the_next_message_after_the_silence_is_the_bots(
    database_url: str, config: dict[str, int], silence_s: int, autoreply: int
) -> None:
    async with open_mailroom(database_url, config=config) as room:
        await room.tell(text("wamid.A"), ECHO)
        room.clock.turn(silence_s)
        await room.tell(text("wamid.B", "anybody?"))
        assert await room.rows("conversations", "autoreply") == [(autoreply,)]
        assert (await room.messages("disposition"))[-1] == ("open",)


async def test_it_is_counted_from_the_last_word_of_either_side(database_url: str) -> None:
    async with open_mailroom(database_url, config=HALF_AN_HOUR) as room:
        await room.tell(text("wamid.A"), ECHO)
        for key in ("wamid.B", "wamid.C", "wamid.D"):
            room.clock.turn(1200)
            await room.tell(text(key))
        assert await room.rows("conversations", "autoreply") == [(0,)]


async def test_what_had_called_people_is_over_then(database_url: str) -> None:
    async with open_mailroom(database_url, config=HALF_AN_HOUR) as room:
        await room.tell(text("wamid.A"))
        await room.do("UPDATE conversations SET autoreply = 0, status = 'escalated', flag = 'handoff'")
        room.clock.turn(1800)
        await room.tell(text("wamid.B"))
        assert await room.rows("conversations", "autoreply, status, flag") == [(1, "active", "")]
