"""Recordings and images of a turn: understood and charged once each, and never more of them than memory bears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.billing import Bill
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.transcription import Transcript
from app.providers.whatsapp.line import File, FileWanted
from app.storage import bot_turns, received
from app.storage.blobs import Blobs
from app.storage.conversations import StoredMessage
from app.usecases.meter import Ask
from app.usecases.sink import Served
from app.usecases.transcribe import Understood
from channels.answering import hearing
from channels.answering import turns as turns_module
from channels.answering.hearing import MOST_IMAGES, MOST_SEEN, Ears
from channels.media import MediaStore
from scripts.simulator import sound
from tests.books import PLENTY
from tests.channels.stage import COST, ScriptedLine, Stage, open_stage
from tests.databases import ON_BOTH

pytestmark = ON_BOTH
HEARD = 30


class Files(ScriptedLine):
    """Has a file for every id: a recording, or what was put there."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []

    async def fetch(self, wanted: FileWanted, cap: int) -> File:
        self.fetched.append(wanted.id)
        return File(self.files.get(wanted.id) or sound.opus(2000), wanted.media_type)


@dataclass
class Listening:
    """Stands for speech to text: says what the recordings say, or that it cannot just now."""

    stage: Stage
    texts: list[str | Problem] = field(default_factory=list)
    asked: int = 0

    async def __call__(
        self, _services: Any, principal: Principal, _plan: Any, _wish: Any, _upload: Any, facts: Any, keep: Any
    ) -> Any:
        assert facts.free_when_left  # it is asked again by whoever takes up the turn
        text = self.texts[self.asked]
        self.asked += 1
        ask = Ask("whatsapp", "stt", "stt", False, 100, "req", PLENTY)
        async with self.stage.meter.open_call(principal, ask) as call:
            if isinstance(text, Problem):
                raise text
            bill = Bill("completed", HEARD, "provider_usage", "B17")
            understood = Understood(Transcript(text), 2000, bill)
            await call.post(bill, keep(understood, Served(call.id, "stt", 0, call.allowance)))

        @dataclass
        class Done:
            answer: Understood

        return Done(understood)


@pytest.fixture
async def stage(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(turns_module, "PATIENCE_S", 0.01)
    async with open_stage(database_url, config={"stt_model": "stt"}, line=Files()) as opened:
        store = MediaStore(opened.db, Blobs(tmp_path), clock=opened.clock)
        opened.ears = Ears(opened.db, store, None, clock=opened.clock)  # type: ignore[arg-type]  # is not asked
        yield opened


@pytest.fixture
def listening(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Listening:
    ears = Listening(stage)
    monkeypatch.setattr(hearing, "run_transcription", ears)
    monkeypatch.setattr(hearing, "plan_transcription", lambda *_: None)
    return ears


async def speak(stage: Stage, name: str = "1") -> str:
    return await stage.hear("", "voice", media={"id": name, "media_type": "audio/ogg"})


async def test_a_recording_is_not_understood_again_when_the_next_one_has_to_wait(
    stage: Stage, listening: Listening
) -> None:
    listening.texts = ["one", Problem("rate_limit_exceeded", "Wait.", retry_after_s=0.01), "two"]
    await speak(stage, "1")
    await speak(stage, "2")
    await stage.play()
    assert listening.asked == 3
    assert await stage.dispositions() == ["answered", "answered"]
    assert await stage.charged() == 2 * HEARD + COST
    assert await stage.rows("SELECT content FROM messages WHERE role = 'user' ORDER BY seq") == [("one",), ("two",)]


async def test_a_recording_that_says_nothing_is_told_of_beside_one_that_does(
    stage: Stage, listening: Listening
) -> None:
    listening.texts = ["", Problem("rate_limit_exceeded", "Wait.", retry_after_s=0.01), "two"]
    await speak(stage, "1")
    await speak(stage, "2")
    await stage.play()
    assert await stage.dispositions() == ["unheard", "answered"]
    assert [text[:5] for text in await stage.said()] == ["Sorry", "Hello"]


async def test_a_recording_of_hours_is_not_paid_for(stage: Stage, listening: Listening) -> None:
    assert isinstance(stage.line, Files)
    stage.line.files["1"] = sound.opus(301_000)
    await speak(stage)
    await stage.play()
    assert listening.asked == 0
    assert await stage.charged() == 0
    assert await stage.dispositions() == ["unheard"]


async def test_what_a_user_does_to_a_recording_while_it_is_heard_stays_known(
    stage: Stage, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reacted_to(*asked: Any) -> Any:
        (message,) = await stored(stage)
        details = msgspec.json.encode({**msgspec.json.decode(message.details), "reactions": {"a contact": "+1"}})
        changed = message._replace(details=details.decode())
        await stage.db.write(stage.tenant_id, lambda db: received.change_message(db, stage.tenant_id, changed))
        return await listening(*asked)

    listening.texts = ["one"]
    monkeypatch.setattr(hearing, "run_transcription", reacted_to)
    await speak(stage)
    await stage.play()
    ((text, details),) = await stage.rows("SELECT content, details FROM messages WHERE role = 'user'")
    assert (text, msgspec.json.decode(details)["reactions"]) == ("one", {"a contact": "+1"})
    assert msgspec.json.decode(details)["transcript"]


async def test_only_the_newest_images_are_fetched_and_no_more_than_memory_bears(stage: Stage) -> None:
    assert isinstance(stage.line, Files)
    large = b"\xff\xd8\xff" + bytes(MOST_SEEN // 3)
    names = [str(number) for number in range(MOST_IMAGES + 2)]
    stage.line.files = dict.fromkeys(names, large)
    messages = [await stage.hear("", "image", media={"id": name, "media_type": "image/jpeg"}) for name in names]
    found = await stage.ears.images(stage.tenant_id, stage.line, await stored(stage))
    assert stage.line.fetched == names[:1:-1]
    assert [message_id for message_id in messages if found[message_id].file is not None] == messages[-2:]
    assert all(each.understood for each in found.values())


async def stored(stage: Stage) -> list[StoredMessage]:
    return await stage.db.read(
        stage.tenant_id, lambda db: bot_turns.open_inputs(db, stage.tenant_id, stage.conversation_id)
    )
