"""Speech to text: as many words as the recording is long, in each provider's shape, by the recording's own cues."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from scripts.simulator.book import Record
from scripts.simulator.script import Script
from tests.e2e.routed_cells import form
from tests.e2e.speaking import recording
from tests.simulator.asking import Json, ask_surface, body_of

RUN = "/cloudflare/client/v4/accounts/acc/ai/run/@cf"
PROVIDERS = ("sarvam", "whisper", "nova", "openai")


def hear(provider: str, file: bytes, **fields: Any) -> tuple[Script, Record]:
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    match provider:
        case "sarvam":
            return ask_surface("/sarvam/speech-to-text", form({"model": "m", **fields, "file": file}), multipart)
        case "whisper":
            asked: Json = {"audio": b64encode(file).decode(), **fields}
            return ask_surface(f"{RUN}/openai/whisper-large-v3-turbo", asked)
        case "nova":
            return ask_surface(f"{RUN}/deepgram/nova-3?punctuate=true", file)
    body = form({"model": "m", **fields, "file": file})
    return ask_surface("/openrouter/api/v1/audio/transcriptions", body, multipart)


def text_of(provider: str, script: Script) -> str:
    body: Any = body_of(script)
    match provider:
        case "sarvam":
            said = body["transcript"]
        case "whisper":
            said = body["result"]["text"]
        case "nova":
            said = body["result"]["results"]["channels"][0]["alternatives"][0]["transcript"]
        case _:
            said = body["text"]
    return str(said)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_longer_recording_has_more_words_and_the_book_knows_its_length(provider: str) -> None:
    short, _ = hear(provider, recording(2000))
    long, record = hear(provider, recording(20_000))
    assert text_of(provider, long).startswith(text_of(provider, short))
    assert len(text_of(provider, long)) > 5 * len(text_of(provider, short))
    assert (record.body["audio_ms"], record.body["audio_bytes"]) == (20_000, len(recording(20_000)))
    assert [step.usage for step in long.steps] == [{"seconds": 20.0}]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_cues_stand_behind_the_sound(provider: str) -> None:
    failed, record = hear(provider, recording(2000, "[tag=a1] [mock=500]"))
    assert (failed.status, record.tag, record.triggers) == (500, "a1", ("500",))
    silent, _ = hear(provider, recording(2000, "[mock=empty_answer]"))
    assert (text_of(provider, silent), silent.fault) == ("", True)


@pytest.mark.parametrize("provider", ["sarvam", "openai"])
def test_a_form_without_a_recording_is_refused(provider: str) -> None:
    assert hear(provider, b"")[0].status in (400, 422)


def test_what_is_no_base64_is_refused() -> None:
    for body in (b"{", {}, {"audio": "not base64"}):
        assert ask_surface(f"{RUN}/openai/whisper-large-v3-turbo", body)[0].status == 400


def test_sarvam_takes_less_than_half_a_minute_and_tells_the_language() -> None:
    assert hear("sarvam", recording(30_000))[0].status == 400
    assert body_of(hear("sarvam", recording(1000))[0])["language_code"] == "en-IN"
    assert body_of(hear("sarvam", recording(1000), language_code="hi-IN")[0])["language_code"] == "hi-IN"


def test_words_have_times_up_to_the_end_of_the_recording() -> None:
    whisper: Any = body_of(hear("whisper", recording(4000))[0])["result"]
    nova: Any = body_of(hear("nova", recording(4000))[0])["result"]["results"]["channels"][0]["alternatives"][0]
    openai: Any = body_of(hear("openai", recording(4000), response_format="verbose_json")[0])
    for words in (whisper["segments"][0]["words"], nova["words"], openai["words"]):
        assert (words[0]["start"], words[-1]["end"]) == (0.0, 4.0)
        assert [word["start"] for word in words[1:]] == [word["end"] for word in words[:-1]]
    assert "words" not in body_of(hear("openai", recording(4000))[0])
