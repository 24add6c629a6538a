"""OpenAI's client hears and speaks through the gateway, at every kind of provider, for the catalog's price."""

from __future__ import annotations

import pytest

from scripts.simulator import sound
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller
from tests.e2e.speaking import (
    HEARING,
    SPEAKING,
    hearing_ucr,
    open_sdk,
    recording,
    speaking_ucr,
)

pytestmark = ON_BOTH


@pytest.mark.parametrize("model", HEARING)
async def test_a_recording_becomes_text_for_the_price_of_its_length(caller: Caller, model: str) -> None:
    async with open_sdk(caller) as client:
        answer = await client.audio.transcriptions.create(model=model, file=("a.wav", recording(4000)))
    assert answer.text.startswith("The market opens")
    books = await caller.settled()
    assert (books.calls, books.charged) == (1, hearing_ucr(model, 4000))


@pytest.mark.parametrize("model", SPEAKING)
async def test_a_text_becomes_sound_for_the_price_of_its_characters(caller: Caller, model: str) -> None:
    text = "Good morning, everyone."
    async with open_sdk(caller) as client:
        answer = await client.audio.speech.create(model=model, voice="alloy", input=text)
    assert answer.content == sound.mp3(len(text) * sound.MS_PER_CHARACTER)
    books = await caller.settled()
    assert (books.calls, books.charged) == (1, speaking_ucr(model, len(text)))
