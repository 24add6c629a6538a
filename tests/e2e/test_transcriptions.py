"""`/v1/audio/transcriptions` and `/translations`: forms of answers, long recordings, bad files, faults, the books."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from scripts.simulator import sound
from tests.e2e.calling import Caller, open_caller
from tests.e2e.speaking import (
    TRANSCRIPTIONS,
    TRANSLATIONS,
    asked,
    hearing_ucr,
    open_sdk,
    receipt,
    recording,
    transcribe,
)


async def test_text_is_a_bare_body(caller: Caller) -> None:
    reply = await transcribe(caller, response_format="text")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.text.startswith("The market opens")


@pytest.mark.parametrize(("model", "timed"), [("whisper-large-v3-turbo", True), ("saaras:v3", False)])
async def test_verbose_json_has_words_where_the_upstream_has_them(caller: Caller, model: str, timed: bool) -> None:
    async with open_sdk(caller) as client:
        answer = await client.audio.transcriptions.create(
            model=model,
            file=("a.wav", recording(4000)),
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
    assert (answer.duration, bool(answer.words), bool(answer.segments)) == (4.0, timed, timed)
    assert answer.language == ("en" if timed else "en-IN")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # of the client, not of the route
async def test_a_translation_is_english_and_says_so(caller: Caller) -> None:
    async with open_sdk(caller) as client:
        answer = await client.audio.translations.create(
            model="saaras:v3", file=("a.wav", recording(4000)), response_format="verbose_json"
        )
    assert (answer.language, answer.text != "") == ("en", True)
    (record,) = asked(caller)
    assert record.body["mode"] == "translate"


async def test_the_receipt_tells_seconds_price_and_whose_figure_they_are(caller: Caller) -> None:
    for model, basis in (("whisper-large-v3-turbo", "provider_usage"), ("saaras:v3", "tokenizer_estimate")):
        found = await receipt(caller, await transcribe(caller, model, prompt="names: Asha"))
        assert found["id"].startswith("stt-")
        assert (found["units"], found["prices"]["unit"]) == ({"seconds": 4.0}, "per_hour")
        assert (found["settlement_basis"], found["settlement_rule"]) == (basis, "B17")
        assert found["hold"]["credits"] == found["credits"]


async def test_a_tuning_field_that_the_route_lacks_is_named(caller: Caller) -> None:
    reply = await transcribe(caller, "saaras:v3", prompt="names: Asha", temperature="0.2", weather="fine")
    assert reply.headers["x-cm-dropped-params"] == "prompt, temperature"
    assert (await receipt(caller, reply))["ignored_parameters"] == ["weather"]


async def test_without_a_model_the_catalogs_default_hears(caller: Caller) -> None:
    assert (await receipt(caller, await transcribe(caller, None)))["model"] == "saaras:v3"


async def test_a_long_wav_is_cut_for_a_model_that_takes_half_a_minute(caller: Caller) -> None:
    reply = await transcribe(caller, "saaras:v3", recording(70_000, rate=8000))
    assert reply.status_code == 200, reply.text
    lengths = [record.body["audio_ms"] for record in asked(caller)]
    assert len(lengths) == 3
    assert max(lengths) < 30_000
    assert abs(sum(lengths) - 70_000) <= len(lengths)
    assert reply.json()["text"].count("The market opens") >= 3
    assert (await caller.settled()).charged == hearing_ucr("saaras:v3", 70_000)


async def test_another_long_recording_is_refused_by_that_model_with_what_to_do(caller: Caller) -> None:
    reply = await transcribe(caller, "saaras:v3", sound.opus(40_000))
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "file")
    assert "30 seconds" in error["message"]
    assert (asked(caller), (await caller.settled()).calls) == ([], 0)


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"hello, this is no audio at all", "no audio"),
    "WAV without sound": (recording(0), "no sound"),
    "WAV cut in its header": (recording(1000)[:20], "cannot be read"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "no audio"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_recording_is_refused_before_it_costs_anything(caller: Caller, name: str) -> None:
    file, reason = BAD[name]
    reply = await transcribe(caller, file=file)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "invalid_request_error", "file")
    assert reason in error["message"]
    assert (asked(caller), (await caller.settled()).calls) == ([], 0)


FIELDS: list[tuple[dict[str, str], str, str]] = [
    ({"language": "not a language"}, "invalid_value", "language"),
    ({"temperature": "warm"}, "invalid_type", "temperature"),
    ({"temperature": "7"}, "invalid_value", "temperature"),
    ({"mode": "verbatim"}, "unsupported_parameter", "mode"),
    ({"mode": "sing"}, "invalid_value", "mode"),
    ({"stream": "true"}, "unsupported_parameter", "stream"),
    ({"model": "kimi-k2.6"}, "model_not_found", "model"),
    ({"model": "saaras:v3", "language": "fr"}, "invalid_value", "language"),
]


@pytest.mark.parametrize(("fields", "code", "param"), FIELDS)
async def test_a_bad_field_is_named(caller: Caller, fields: dict[str, str], code: str, param: str) -> None:
    reply = await transcribe(caller, **{"model": "whisper-large-v3-turbo", **fields})  # type: ignore[arg-type]
    error = reply.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert asked(caller) == []


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, TRANSLATIONS])
@pytest.mark.parametrize("subtitles", ["srt", "vtt"])
async def test_subtitles_are_refused_with_what_there_is_instead(caller: Caller, subtitles: str, path: str) -> None:
    reply = await transcribe(caller, "saaras:v3", path=path, response_format=subtitles)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "invalid_value", "response_format")
    assert error["message"] == (f'response_format must be one of "json", "text", "verbose_json", got "{subtitles}".')
    assert (asked(caller), caller.books().calls) == ([], 0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"json": {"model": "whisper"}}, "invalid_request_error"),
        ({"data": {"model": "whisper"}, "files": {"audio": ("a.wav", b"x")}}, "invalid_value"),
        (
            {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            "invalid_request_error",
        ),
        ({"content": b"", "headers": {"content-type": "multipart/form-data"}}, "invalid_request_error"),
    ],
)
async def test_what_is_no_form_with_a_file_is_refused(caller: Caller, sent: dict[str, Any], code: str) -> None:
    for path in (TRANSCRIPTIONS, TRANSLATIONS):
        reply = await caller.http.post(path, **sent)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)


async def test_a_form_without_a_file_says_so(caller: Caller) -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    error = (await caller.http.post(TRANSCRIPTIONS, content=body, headers=headers)).json()["error"]
    assert (error["code"], error["param"]) == ("missing_required_parameter", "file")


FAULTS = {
    "500": (502, "upstream_error"),
    "503": (502, "upstream_error"),
    "401": (503, "provider_error"),
    "429": (429, "rate_limit_exceeded"),
    "invalid_json_body": (502, "upstream_error"),
    "close_before_body": (502, "upstream_error"),
    "eof_mid": (502, "upstream_error"),
    "html_500": (502, "upstream_error"),
    "bad_request": (400, "invalid_request_error"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_providers_fault_is_told_plainly_and_free(caller: Caller, fault: str) -> None:
    reply = await transcribe(caller, "nova-3", recording(4000, f"[mock={fault}]"))
    assert (reply.status_code, reply.json()["error"]["code"]) == FAULTS[fault]
    books = await caller.settled()
    assert (books.calls, books.charged) == (1, 0)


async def test_a_fault_that_passes_is_not_seen_and_the_upload_goes_out_twice(caller: Caller) -> None:
    file = recording(4000, "[mock=fail_once:a]")
    reply = await transcribe(caller, "whisper", file)
    assert reply.status_code == 200
    first, second = asked(caller)
    assert first.body["audio_bytes"] == second.body["audio_bytes"] == len(file)
    assert (await caller.settled()).charged == hearing_ucr("whisper", 4000)


async def test_silence_is_an_empty_text_that_costs_nothing(caller: Caller) -> None:
    reply = await transcribe(caller, "nova-3", recording(4000, "[mock=empty_answer]"))
    assert (reply.status_code, reply.json()) == (200, {"text": ""})
    assert (await receipt(caller, reply))["settlement_rule"] == "B7"
    assert (await caller.settled()).charged == 0


async def test_without_credits_nothing_is_asked(database_url: str) -> None:
    async with open_caller(database_url, customer={"credit_ucr": 100}) as caller, open_sdk(caller) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.audio.transcriptions.create(model="nova-3", file=("a.wav", recording(4000)))
        assert refused.value.status_code == 402
        assert asked(caller) == []
