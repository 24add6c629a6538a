"""Text to speech: sound as long as the text, in pieces, at a pace, and what triggers make of it."""

from __future__ import annotations

from base64 import b64decode

import pytest

from scripts.simulator import sound
from scripts.simulator.book import Record
from scripts.simulator.script import Script, Step
from tests.simulator.asking import Json, ask_surface, body_of

RUN = "/cloudflare/client/v4/accounts/acc/ai/run/@cf"
TEXT = "Good morning, everyone."
MS = len(TEXT) * sound.MS_PER_CHARACTER


def aura(cues: str = "", **fields: object) -> tuple[Script, Record]:
    body: Json = {"text": TEXT + cues, "encoding": "linear16", **fields}
    return ask_surface(f"{RUN}/deepgram/aura-2-en", body)


def steps(script: Script) -> list[Step]:
    return list(script.steps)


def heard(script: Script) -> bytes:
    return b"".join(step.data for step in script.steps)


def test_every_provider_says_the_whole_text() -> None:
    sarvam: Json = {"text": TEXT, "target_language_code": "en-IN", "model": "bulbul:v3"}
    assert heard(aura()[0]) == sound.pcm(MS)
    assert heard(aura(container="wav", sample_rate=8000)[0]) == sound.wav(MS, 8000)
    assert b64decode(body_of(ask_surface("/sarvam/text-to-speech", sarvam)[0])["audios"][0]) == sound.wav(MS)
    assert heard(ask_surface("/sarvam/text-to-speech/stream", sarvam)[0]) == sound.mp3(MS)
    melotts = body_of(ask_surface(f"{RUN}/myshell-ai/melotts", {"prompt": TEXT})[0])
    assert b64decode(melotts["result"]["audio"]) == sound.mp3(MS)
    spoken = ask_surface("/openrouter/api/v1/audio/speech", {"model": "m", "input": TEXT, "response_format": "mp3"})
    assert heard(spoken[0]) == sound.mp3(MS)


def test_the_media_type_is_that_of_the_sound() -> None:
    assert ("content-type", "audio/ogg") in aura(encoding="opus")[0].headers
    assert ("content-type", "audio/wav") in aura(container="wav")[0].headers


def test_pieces_keep_the_pace_and_the_last_one_counts_the_characters() -> None:
    made = steps(aura("[tag=a1] [pace=10] [first=50]")[0])
    assert [step.at_s for step in made] == [pytest.approx(0.05 + number / 10) for number in range(len(made))]
    assert {len(step.data) for step in made[:-1]} == {4096}
    characters = len(f"{TEXT}[tag=a1] [pace=10] [first=50]")
    assert [step.usage for step in made] == [None] * (len(made) - 1) + [{"characters": characters}]


def test_a_cut_comes_after_some_sound_and_is_a_fault() -> None:
    broken, hung = aura("[mock=eof_mid]")[0], aura("[mock=hang_mid]")[0]
    assert (len(steps(broken)), broken.ending, broken.fault) == (5, "fin", True)
    assert (len(steps(hung)), hung.ending) == (3, "hang")
    late, silent = aura("[mock=hang_headers_after_accept]")[0], aura("[mock=hang_headers]")[0]
    assert (steps(late), late.ending, late.silent) == ([], "hang", False)
    assert silent.silent


@pytest.mark.parametrize("trigger", ["empty_answer", "invalid_json_body", "error_200"])
def test_sound_that_is_missing_or_spoilt_is_a_fault(trigger: str) -> None:
    body: Json = {"text": f"{TEXT}[mock={trigger}]", "target_language_code": "en-IN"}
    script, _ = ask_surface("/sarvam/text-to-speech", body)
    assert (script.status, script.fault) == (200, True)
    assert b'"]}' not in heard(script)


def test_a_refusal_is_worded_as_the_provider_words_it() -> None:
    script, record = aura("[tag=a1] [mock=429_retry_after_7]")
    assert (script.status, ("retry-after", "7") in script.headers) == (429, True)
    assert (record.tag, record.model) == ("a1", "@cf/deepgram/aura-2-en")
    assert aura("[mock=nonsense]")[0].status == 400


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/sarvam/text-to-speech", {"text": TEXT}),
        ("/sarvam/text-to-speech", {"text": "x" * 2501, "target_language_code": "en-IN"}),
        ("/sarvam/text-to-speech", b"{"),
        ("/openrouter/api/v1/audio/speech", {"input": TEXT, "response_format": "opus"}),
    ],
)
def test_what_a_provider_cannot_say_is_refused(target: str, body: Json | bytes) -> None:
    assert ask_surface(target, body)[0].status in (400, 422)


def test_without_a_key_nothing_is_said() -> None:
    script, _ = ask_surface(f"{RUN}/deepgram/aura-2-en", {"text": TEXT}, {"authorization": ""})
    assert script.status == 401
