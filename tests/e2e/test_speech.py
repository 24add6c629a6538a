"""`/v1/audio/speech`: sound as it is made, in every format a provider has, and a break that can be seen."""

from __future__ import annotations

from statistics import median
from typing import Any

import httpx2
import pytest
import trio

from scripts.simulator import sound
from tests.e2e.calling import Caller
from tests.e2e.speaking import SPEECH, asked, open_sdk, receipt, say, speaking_ucr

TEXT = "Good morning, everyone. Today we talk about the weather."
MS = len(TEXT) * sound.MS_PER_CHARACTER
TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


@pytest.mark.parametrize("model", ["bulbul:v3", "aura-2-en"])
@pytest.mark.parametrize("form", TYPES)
async def test_every_format_of_a_model_arrives_as_it_was_made(caller: Caller, model: str, form: str) -> None:
    reply = await say(caller, TEXT, model, response_format=form)
    assert reply.headers["content-type"] == TYPES[form]
    assert reply.content == sound.SOUNDS[form](MS, 24000)


async def test_the_reply_tells_its_call_and_the_receipt_its_characters(caller: Caller) -> None:
    reply = await say(caller, TEXT, "aura-2-en", speed=1.5, colour="blue")
    assert reply.headers["x-generation-id"].startswith("speech-")
    assert (reply.headers["x-cm-provider"], reply.headers["x-cm-dropped-params"]) == ("cloudflare", "speed")
    found = await receipt(caller, reply)
    assert (found["units"], found["prices"]["unit"]) == ({"characters": len(TEXT)}, "per_10k_characters")
    assert (found["settlement_basis"], found["settlement_rule"]) == ("provider_usage", "B17")
    assert found["ignored_parameters"] == ["colour"]


async def test_sarvam_is_told_language_voice_pace_and_rate(caller: Caller) -> None:
    await say(caller, "नमस्ते", "bulbul:v3", language="hi", voice="Kavya", speed=1.25, speech_sample_rate=8000)
    (record,) = asked(caller)
    named = {"target_language_code": "hi-IN", "speaker": "kavya", "pace": 1.25, "speech_sample_rate": 8000}
    assert named.items() <= record.body.items()


async def test_an_unknown_voice_is_the_models_own(caller: Caller) -> None:
    await say(caller, TEXT, "aura-2-es", voice="alloy")
    assert asked(caller)[0].body["speaker"] == "aquila"


@pytest.mark.parametrize("form", ["wav", "pcm", "mp3"])
async def test_a_text_that_is_too_long_for_one_call_becomes_one_sound(caller: Caller, form: str) -> None:
    text = "This is one sentence of many. " * 120
    reply = await say(caller, text, "bulbul:v3", response_format=form, speech_sample_rate=8000)
    parts = [record.body["text"] for record in asked(caller)]
    assert (len(parts), "".join(parts)) == (2, text)
    assert all(part.rstrip().endswith(".") for part in parts)
    if form == "wav":
        head, samples = reply.content[:44], reply.content[44:]
        assert head[:4] + head[8:12] == b"RIFFWAVE"
        assert head[4:8] == head[40:44] == b"\xff" * 4
        assert len(samples) == 2 * 8 * sound.MS_PER_CHARACTER * len(text)
    assert (await caller.settled()).charged == speaking_ucr("bulbul:v3", len(text))


async def test_a_long_text_in_a_format_that_cannot_be_joined_is_refused(caller: Caller) -> None:
    reply = await say(caller, "long " * 700, "bulbul:v3", response_format="flac")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")
    assert asked(caller) == []


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"input": ""}, "invalid_value", "input"),
    ({"input": "   "}, "invalid_value", "input"),
    ({"input": "x" * 4097}, "invalid_value", "input"),
    ({"response_format": "ogg"}, "invalid_value", "response_format"),
    ({"model": "melotts", "response_format": "wav"}, "unsupported_parameter", "response_format"),
    ({"model": "gpt-4o-mini-tts", "response_format": "opus"}, "unsupported_parameter", "response_format"),
    ({"speed": 3}, "invalid_value", "speed"),
    ({"speech_sample_rate": 11025}, "invalid_value", "speech_sample_rate"),
    ({"stream_format": "sse"}, "unsupported_parameter", "stream_format"),
    ({"model": "bulbul:v3", "language": "fr"}, "invalid_value", "language"),
    ({"model": "nova-3"}, "model_not_found", "model"),
]


@pytest.mark.parametrize(("fields", "code", "param"), BAD)
async def test_a_bad_field_is_named_before_anything_is_asked(
    caller: Caller, fields: dict[str, Any], code: str, param: str
) -> None:
    reply = await say(
        caller, **{"text": fields.get("input", TEXT), **{k: v for k, v in fields.items() if k != "input"}}
    )
    error = reply.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert (asked(caller), (await caller.settled()).calls) == ([], 0)


async def test_sound_comes_while_it_is_made(caller: Caller) -> None:
    """How long our part takes from the provider's first byte to the client's, printed; the bound is generous."""
    lags = []
    async with open_sdk(caller) as client:
        for number in range(5):
            text = f"[tag=n{number}] [pace=200] {TEXT}"
            async with client.audio.speech.with_streaming_response.create(
                model="aura-2-en", voice="luna", input=text, response_format="pcm"
            ) as answer:
                pieces = answer.iter_bytes()
                first = await anext(pieces)
                came = trio.current_time()
                (record,) = asked(caller, f"n{number}")
                assert record.finished is None
                lags.append(came - caller.house.book.begin() - (record.first_byte or 0.0))
                rest = [piece async for piece in pieces]
            assert first + b"".join(rest) == sound.pcm(len(text) * sound.MS_PER_CHARACTER)
    print(f"\nfirst byte of speech {median(lags) * 1000:.1f} ms after the provider's, {max(lags) * 1000:.1f} at most")
    assert median(lags) < 0.25


async def test_base64_is_decoded_while_it_comes(caller: Caller) -> None:
    async with caller.http.stream(
        "POST", SPEECH, json={"model": "bulbul:v3", "input": f"[tag=b] [pace=150] {TEXT}", "response_format": "pcm"}
    ) as reply:
        pieces = reply.aiter_raw()
        assert await anext(pieces)
        assert asked(caller, "b")[0].finished is None
        async for _ in pieces:
            pass


FAULTS = {
    "500": (502, "upstream_error"),
    "401": (503, "provider_error"),
    "429_retry_after_7": (429, "rate_limit_exceeded"),
    "empty_answer": (502, "upstream_error"),
    "close_before_body": (502, "upstream_error"),
    "error_200": (502, "upstream_error"),
    "bad_request": (400, "invalid_request_error"),
}


@pytest.mark.parametrize("model", ["bulbul:v3", "melotts", "gpt-4o-mini-tts"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_before_the_first_sound_has_a_status_of_its_own(caller: Caller, model: str, fault: str) -> None:
    reply = await say(caller, f"[mock={fault}] {TEXT}", model)
    assert (reply.status_code, reply.json()["error"]["code"]) == FAULTS[fault]
    books = await caller.settled()
    assert (books.calls, books.charged) == (1, 0)


@pytest.mark.parametrize("fault", ["eof_mid", "rst_mid"])
async def test_a_fault_within_the_sound_breaks_it_off_and_is_free(caller: Caller, fault: str) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await say(caller, f"[mock={fault}] {TEXT * 3}", "aura-2-en", response_format="pcm")
    books = await caller.settled()
    assert (books.calls, books.charged) == (1, 0)


async def test_a_fault_that_passes_is_not_heard(caller: Caller) -> None:
    text = f"[mock=fail_once:x] {TEXT}"
    reply = await say(caller, text, "gpt-4o-mini-tts", response_format="pcm")
    assert reply.content == sound.pcm(len(text) * sound.MS_PER_CHARACTER)
    assert len(asked(caller)) == 2
    assert reply.headers["x-cm-attempts"] == "2"


async def test_the_other_name_of_sarvams_language_field_is_found_and_remembered(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.providers.speech.SARVAM.language_field", "language_code")
    replies = [await say(caller, TEXT, "bulbul:v3") for _ in range(2)]
    assert [reply.headers["x-cm-attempts"] for reply in replies] == ["2", "1"]
    assert len(asked(caller)) == 3
