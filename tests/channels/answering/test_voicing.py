"""Answers that are to be spoken: where they can be, and what goes out where they cannot."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from app.core.billing import Bill
from app.core.errors import Problem
from app.core.identity import Principal
from app.observability.facts import CallFacts
from app.providers.whatsapp.line import File
from app.storage.blobs import Blobs
from app.storage.database import Transaction
from app.usecases.meter import Ask
from app.usecases.sink import Served
from app.usecases.speak import Spoken
from channels.answering import voicing
from channels.answering.asking import ToolCall
from channels.answering.voicing import Voice
from channels.bell import Bell
from channels.conversations import contents, people
from channels.media import MediaStore
from tests.books import PLENTY
from tests.channels.stage import Stage, open_stage
from tests.databases import ON_BOTH

pytestmark = ON_BOTH
MEDIA_AND_LINKS = frozenset({"meta", "twilio"})
#: What it costs to say it.
SPOKEN: Final = 30
PAID: Final = ("posted", SPOKEN)
FREE: Final = ("voided", 0)


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


@dataclass
class Speaker:
    """Speaks as `run_speech` does, with the meter of the stage; `act` happens before the charge."""

    stage: Stage
    act: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
    asked: int = 0

    async def __call__(self, _audio: object, principal: Principal, _wish: object, sound: Any, facts: CallFacts) -> None:
        self.asked += 1
        wanted = Ask("whatsapp", "tts", "bulbul:v3", False, SPOKEN, "req_1", PLENTY, marks=facts.marks)
        async with self.stage.meter.open_call(principal, wanted) as call:
            served = Served(call.id, "bulbul:v3", 0, call.allowance)
            await sound.begin(served)
            await sound.write(b"OggS")
            await sound.end()
            await self.act()
            bill = Bill("completed", SPOKEN, "provider_usage", "B17")
            await call.post(bill, sound.settling(Spoken(bill), served))


@pytest.fixture
def speaker(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Speaker:
    speaks = Speaker(stage)
    monkeypatch.setattr(voicing, "run_speech", speaks)
    return speaks


@pytest.fixture
def store(stage: Stage, tmp_path: Path) -> MediaStore:
    return MediaStore(stage.db, Blobs(tmp_path / "media"), clock=stage.clock)


async def spoken(stage: Stage, store: MediaStore) -> None:
    voice = Voice(stage.db, store, None, senders=Bell(), clock=stage.clock)  # type: ignore[arg-type]  # see `Speaker`
    await voice.finish(stage.tenant_id, stage.conversation_id)


async def sent(stage: Stage) -> tuple[str, str, str | None]:
    """How far it is, its kind, and what it says in writing."""
    ((state, kind, body),) = await stage.rows("SELECT state, kind, body FROM sends")
    content = contents.read(kind, body)
    return state, kind, getattr(content, "otherwise" if kind == "media" else "body", None)


async def charges(stage: Stage) -> list[tuple[str, int]]:
    """How each call to speak ended, and what it cost."""
    return await stage.rows("SELECT state, charge FROM calls WHERE category = 'tts' ORDER BY state, charge")


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "media").rglob("*") if path.is_file()]


@pytest.mark.parametrize("provider", ["meta", "twilio"])
async def test_what_is_spoken_is_a_file_that_goes_out_and_is_charged_once(
    stage: Stage, speaker: Speaker, store: MediaStore, provider: str
) -> None:
    stage.voiced = MEDIA_AND_LINKS
    await answered(stage, provider)
    for _ in range(2):
        await spoken(stage, store)
    assert speaker.asked == 1
    assert await sent(stage) == ("queued", "media", "*Yes*, we do.")
    assert await charges(stage) == [PAID]
    ((row,),) = await stage.rows("SELECT id FROM media")
    assert (await store.read(stage.tenant_id, row))[0] == File(b"OggS", "audio/ogg")


@pytest.mark.parametrize("provider", ["meta", "twilio"])
async def test_what_nobody_speaks_goes_out_as_it_would_have_been_written(
    stage: Stage, store: MediaStore, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    async def fail(*_: object) -> None:
        raise Problem("upstream_error", "Nobody speaks.")

    monkeypatch.setattr(voicing, "run_speech", fail)
    stage.voiced = MEDIA_AND_LINKS
    await answered(stage, provider)
    await spoken(stage, store)
    assert await sent(stage) == ("queued", "text", "*Yes*, we do.")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
async def test_sound_that_the_disk_refuses_is_free_and_the_text_goes_out(
    stage: Stage, speaker: Speaker, store: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(_handle: int) -> None:
        raise OSError(error, os.strerror(error))

    await answered(stage, "meta")
    monkeypatch.setattr("app.storage.blobs.os.fsync", refuse)
    await spoken(stage, store)
    assert speaker.asked == 1
    assert await sent(stage) == ("queued", "text", "*Yes*, we do.")
    assert await charges(stage) == [FREE]
    assert (await stage.rows("SELECT id FROM media"), files(tmp_path)) == ([], [])


async def test_who_dies_between_the_file_and_the_charge_costs_nothing_and_leaves_a_stray(
    stage: Stage, speaker: Speaker, store: MediaStore, tmp_path: Path
) -> None:
    await answered(stage, "meta")
    speaker.act = trio.sleep_forever
    with trio.move_on_after(0.2):
        await spoken(stage, store)
    (stray,) = files(tmp_path)
    assert await charges(stage) == [FREE]
    speaker.act = trio.lowlevel.checkpoint
    await spoken(stage, store)
    assert await charges(stage) == [PAID, FREE]
    assert (await sent(stage))[:2] == ("queued", "media")
    for path in files(tmp_path):
        os.utime(path, (0, 0))
    await store.sweep_strays()
    ((row,),) = await stage.rows("SELECT id FROM media")
    assert [path.name for path in files(tmp_path)] == [row] != [stray.name]


async def test_of_two_processes_that_speak_the_same_one_is_paid_and_its_file_goes_out(
    stage: Stage, speaker: Speaker, store: MediaStore
) -> None:
    await answered(stage, "meta")

    async def overtake() -> None:
        speaker.act = trio.lowlevel.checkpoint
        await spoken(stage, store)

    speaker.act = overtake
    await spoken(stage, store)
    assert speaker.asked == 2
    assert (await sent(stage))[:2] == ("queued", "media")
    assert await charges(stage) == [PAID, FREE]
    assert len(await stage.rows("SELECT id FROM media")) == 1


@pytest.mark.parametrize("taken_over", [True, False])
async def test_what_nobody_will_hear_any_more_is_not_charged(
    stage: Stage, speaker: Speaker, store: MediaStore, taken_over: bool
) -> None:
    """A person takes over, or the bot is switched off, while it is spoken."""
    await answered(stage, "meta")

    def silence(db: Transaction) -> None:
        if taken_over:
            people.silence(db, stage.tenant_id, stage.conversation_id, stage.clock(), escalate=False)
        else:
            db.do("UPDATE bots SET is_active = 0")

    speaker.act = partial(stage.db.write, stage.tenant_id, silence)
    await spoken(stage, store)
    assert await charges(stage) == [FREE]
    assert (await sent(stage))[:2] == (("dropped", "text") if taken_over else ("queued", "text"))
    await spoken(stage, store)
    assert speaker.asked == 1


async def test_for_a_bot_that_is_off_nothing_is_spoken(stage: Stage, speaker: Speaker, store: MediaStore) -> None:
    await answered(stage, "meta")
    await stage.db.write(stage.tenant_id, lambda db: db.do("UPDATE bots SET is_active = 0"))
    await spoken(stage, store)
    assert (speaker.asked, await charges(stage)) == (0, [])
