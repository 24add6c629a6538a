"""Answers that are to be spoken: where they can be, and what goes out where they cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import Problem
from app.storage.blobs import Blobs
from app.storage.database import Transaction
from channels.answering import voicing
from channels.answering.asking import ToolCall
from channels.answering.voicing import Voice
from channels.bell import Bell
from channels.conversations import contents
from channels.media import MediaStore
from tests.channels.stage import Stage, open_stage
from tests.databases import ON_BOTH

pytestmark = ON_BOTH
MEDIA_AND_LINKS = frozenset({"meta", "twilio"})


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    """At a bot that says everything aloud, and whose answers are marked up."""

    async def answer(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        return "**Yes**, we do.", []

    async with open_stage(database_url, script=answer, config={"reply_mode": "voice"}) as opened:
        await opened.db.write(opened.tenant_id, lambda db: db.do("UPDATE bots SET type = 'whatsapp_voice'"))
        yield opened


async def answered(stage: Stage, provider: str) -> None:
    def move(db: Transaction) -> None:
        db.do("UPDATE numbers SET provider = ?", provider)

    await stage.db.write(stage.tenant_id, move)
    await stage.hear("Do you have tea?")
    await stage.play()


@pytest.mark.parametrize(
    ("provider", "voiced", "state", "kind"),
    [
        ("meta", frozenset({"meta"}), "making", "voice"),
        ("twilio", frozenset({"meta"}), "queued", "text"),
        ("twilio", MEDIA_AND_LINKS, "making", "voice"),
    ],
)
async def test_a_voice_note_is_made_only_where_the_provider_can_be_given_it(
    stage: Stage, provider: str, voiced: frozenset[str], state: str, kind: str
) -> None:
    stage.voiced = voiced
    await answered(stage, provider)
    assert await stage.rows("SELECT state FROM sends") == [(state,)]
    assert await stage.rows("SELECT message_type FROM messages WHERE role = 'assistant'") == [(kind,)]
    asked = str(stage.asked[0]["messages"][0]["content"])
    assert ("read aloud" in asked) == (kind == "voice")


@pytest.mark.parametrize("provider", ["meta", "twilio"])
@pytest.mark.parametrize("speaks", [True, False])
async def test_what_cannot_be_spoken_or_sent_goes_out_as_it_would_have_been_written(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, speaks: bool
) -> None:
    async def speak(_audio: Any, _principal: Any, _wish: Any, sound: Any, _facts: Any) -> None:
        if not speaks:
            raise Problem("upstream_error", "Nobody speaks.")
        await sound.write(b"OggS")

    monkeypatch.setattr(voicing, "run_speech", speak)
    stage.voiced = MEDIA_AND_LINKS
    await answered(stage, provider)
    store = MediaStore(stage.db, Blobs(tmp_path / "media"), clock=stage.clock)
    voice = Voice(stage.db, store, None, senders=Bell(), clock=stage.clock)  # type: ignore[arg-type]  # see `speak`
    await voice.finish(stage.tenant_id, stage.conversation_id)
    ((state, kind, body),) = await stage.rows("SELECT state, kind, body FROM sends")
    content = contents.read(kind, body)
    written = getattr(content, "otherwise", None) if speaks else getattr(content, "body", None)
    assert (state, kind, written) == ("queued", "media" if speaks else "text", "*Yes*, we do.")
