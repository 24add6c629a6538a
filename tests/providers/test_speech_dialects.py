"""How recordings and texts go out to each provider, byte by byte, and how their answers are read (wire/*.md)."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec
import pytest

from app.core.errors import Problem, UpstreamError
from app.core.recordings import Recording
from app.core.speech import SpeechRequest, parse_speech
from app.core.transcription import TranscriptionRequest, read_transcription
from app.providers.body import PIECE_BYTES, Part, StreamedBody, Uploading
from app.providers.cloudflare import Cloudflare
from app.providers.dialect import ChatAsk, json_headers
from app.providers.sarvam import Sarvam
from app.providers.speech import SarvamSpeaker, speaker
from app.providers.transcription import Clip, check_envelope, read_answer, transcriber

HEADERS = json_headers({"authorization": "Bearer key"})
SOUND = bytes(range(256)) * 1200


class Kept:
    """An upload in memory."""

    async def read(self, at: int, size: int) -> bytes:
        return SOUND[at : at + size]


CLIP = Clip(Recording("mp3", 4000), Kept(), len(SOUND))


async def sent(body: StreamedBody) -> bytes:
    """All of it, read as the wire reads it."""
    data = b""
    while piece := await body.read(len(data)):
        assert len(piece) <= PIECE_BYTES // 3 * 4
        data += piece
    assert len(data) == body.length
    return data


def wish(*, translate: bool = False, **fields: str) -> TranscriptionRequest:
    return read_transcription({name: [value] for name, value in fields.items()}, translate=translate)


def hear(provider: str, upstream: str, asked: TranscriptionRequest) -> Uploading:
    return transcriber(provider, upstream).ask(upstream, asked, CLIP, HEADERS)


def named(question: Uploading) -> dict[bytes, bytes]:
    return dict(question.headers)


async def fields_of(question: Uploading) -> dict[str, str]:
    """The fields of a form, its file left out."""
    boundary = named(question)[b"content-type"].partition(b"boundary=")[2]
    parts = (await sent(question.body)).split(b"--" + boundary)[1:-1]
    heads = [part.partition(b"\r\n\r\n") for part in parts]
    return {
        head.partition(b'name="')[2].partition(b'"')[0].decode(): value.removesuffix(b"\r\n").decode()
        for head, _, value in heads
        if b"filename" not in head
    }


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, len(SOUND)])
async def test_base64_in_pieces_is_the_base64_of_the_whole(size: int) -> None:
    part = Part(Kept(), 0, size, base64=True)
    body = await sent(StreamedBody((b'{"audio":"', part, b'"}')))
    assert b64decode(msgspec.json.decode(body)["audio"]) == SOUND[:size]


async def test_sarvam_gets_a_form_with_model_mode_and_language() -> None:
    question = hear("sarvam", "saaras:v3", wish(language="hi", mode="codemix", prompt="names"))
    assert question.path == "/speech-to-text"
    assert await fields_of(question) == {"model": "saaras:v3", "mode": "codemix", "language_code": "hi-IN"}
    assert SOUND in await sent(question.body)
    assert question.dropped == ("prompt",)


@pytest.mark.parametrize(("said", "code"), [(None, "unknown"), ("ta-IN", "ta-IN"), ("or", "od-IN"), ("EN", "en-IN")])
async def test_sarvam_is_told_the_language_its_own_way(said: str | None, code: str) -> None:
    question = hear("sarvam", "saaras:v3", wish(language=said or ""))
    assert (await fields_of(question))["language_code"] == code


async def test_a_translation_is_a_mode_at_sarvam_and_a_task_at_whisper() -> None:
    assert (await fields_of(hear("sarvam", "saaras:v3", wish(translate=True))))["mode"] == "translate"
    question = hear("cloudflare", "@cf/openai/whisper-large-v3-turbo", wish(translate=True))
    assert msgspec.json.decode(await sent(question.body))["task"] == "translate"


async def test_whisper_gets_json_with_the_recording_last() -> None:
    question = hear("cloudflare", "@cf/openai/whisper-large-v3-turbo", wish(language="hi-IN", prompt="names"))
    assert (question.path, named(question)[b"content-type"]) == (
        *("/run/@cf/openai/whisper-large-v3-turbo", b"application/json"),
    )
    body = msgspec.json.decode(await sent(question.body))
    assert b64decode(body.pop("audio")) == SOUND
    assert body == {"task": "transcribe", "vad_filter": False, "language": "hi", "initial_prompt": "names"}


async def test_nova_gets_the_bytes_and_its_options_in_the_query() -> None:
    question = hear("cloudflare", "@cf/deepgram/nova-3", wish())
    assert question.path == "/run/@cf/deepgram/nova-3?punctuate=true&smart_format=true&detect_language=true"
    assert named(question)[b"content-type"] == b"audio/mpeg"
    assert await sent(question.body) == SOUND


async def test_openrouter_gets_openais_form_in_detail_when_detail_is_asked_for() -> None:
    asked = wish(response_format="verbose_json", language="hi-IN", temperature="0.2")
    assert await fields_of(hear("openrouter", "openai/whisper-1", asked)) == {
        **{"model": "openai/whisper-1", "response_format": "verbose_json", "language": "hi", "temperature": "0.2"},
    }


async def test_the_key_goes_along_and_no_header_twice() -> None:
    for provider, upstream in (("sarvam", "saaras:v3"), ("cloudflare", "@cf/deepgram/nova-3")):
        names = [name for name, _ in hear(provider, upstream, wish()).headers]
        assert b"authorization" in names
        assert len(names) == len(set(names))


ANSWERS: list[tuple[str, str, Any, tuple[str, str | None, int | None, int | None, int, int]]] = [
    (
        *("sarvam", "saaras:v3"),
        {"request_id": "1", "transcript": "hi", "language_code": "hi-IN"},
        ("hi", "hi-IN", None, None, 0, 0),
    ),
    (
        *("cloudflare", "@cf/openai/whisper-large-v3-turbo"),
        {
            "result": {
                "text": "hi there",
                "segments": [
                    {"start": 0, "end": 1, "text": "hi there", "words": [{"word": "hi", "start": 0, "end": 0.5}]}
                ],
                "transcription_info": {"language": "en", "duration": 1.2345},
            }
        },
        ("hi there", "en", 1235, None, 1, 1),
    ),
    (
        *("cloudflare", "@cf/deepgram/nova-3"),
        {
            "result": {
                "results": {
                    "channels": [
                        {
                            "alternatives": [
                                {
                                    "transcript": "Hi.",
                                    "words": [{"word": "hi", "start": 0, "end": 0.9, "punctuated_word": "Hi."}],
                                }
                            ]
                        }
                    ]
                }
            }
        },
        ("Hi.", None, None, 900, 0, 1),
    ),
    ("openrouter", "openai/whisper-1", {"text": "hi", "usage": {"seconds": 0}}, ("hi", None, 0, None, 0, 0)),
    ("local", "whisper", {"text": "hi", "duration": 2.5, "language": "english"}, ("hi", "english", 2500, None, 0, 0)),
]


@pytest.mark.parametrize(("provider", "upstream", "answer", "read"), ANSWERS)
def test_an_answer_is_read_as_its_document_says(provider: str, upstream: str, answer: Any, read: Any) -> None:
    found = read_answer(msgspec.json.encode(answer), transcriber(provider, upstream).read)
    told = (found.text, found.language, found.length_ms, found.spoken_ms, len(found.segments), len(found.words))
    assert told == read


@pytest.mark.parametrize(("provider", "upstream"), [answer[:2] for answer in ANSWERS])
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"result":null,"text":7,"transcript":null}', b"<html>"])
def test_any_other_answer_is_the_providers_fault(provider: str, upstream: str, body: bytes) -> None:
    with pytest.raises(UpstreamError) as failure:
        read_answer(body, transcriber(provider, upstream).read)
    assert (failure.value.code, failure.value.breaker) == ("upstream_error", "count")


def test_a_200_of_cloudflare_may_be_a_refusal() -> None:
    body = b'{"success":false,"errors":[{"code":5007,"message":"No such model"}]}'
    with pytest.raises(UpstreamError) as failure:
        check_envelope(body, Cloudflare("key"), ChatAsk("m", {}, ""))
    assert failure.value.code == "provider_error"
    check_envelope(b'{"transcript":"success"}', Sarvam("key"), ChatAsk("m", {}, ""))


def spoken(**fields: Any) -> SpeechRequest:
    return parse_speech(msgspec.json.encode({"input": "Good morning.", **fields}))


def say(provider: str, upstream: str, voice: str = "v", **fields: Any) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    question = speaker(provider, upstream).ask(upstream, spoken(**fields), voice, "Good morning.", HEADERS)
    return question.path, msgspec.json.decode(question.body), question.dropped


@pytest.mark.parametrize(
    ("form", "path", "codec"),
    [
        ("mp3", "/text-to-speech", "mp3"),
        ("pcm", "/text-to-speech", "linear16"),
        ("wav", "/text-to-speech", "wav"),
        ("opus", "/text-to-speech/stream", "opus"),
    ],
)
def test_sarvam_makes_every_format(form: str, path: str, codec: str) -> None:
    assert say("sarvam", "bulbul:v3", "Shubh", response_format=form) == (
        path,
        {
            **{"text": "Good morning.", "target_language_code": "en-IN", "speaker": "shubh", "model": "bulbul:v3"},
            **{"speech_sample_rate": 24000, "output_audio_codec": codec},
        },
        (),
    )


@pytest.mark.parametrize(
    ("form", "encoding"),
    [
        ("mp3", {"encoding": "mp3"}),
        ("wav", {"encoding": "linear16", "container": "wav", "sample_rate": 24000}),
        ("pcm", {"encoding": "linear16", "container": "none", "sample_rate": 24000}),
        ("opus", {"encoding": "opus", "container": "ogg"}),
        ("flac", {"encoding": "flac", "sample_rate": 24000}),
        ("aac", {"encoding": "aac"}),
    ],
)
def test_aura_makes_every_format(form: str, encoding: dict[str, Any]) -> None:
    path, body, _ = say("cloudflare", "@cf/deepgram/aura-2-en", "luna", response_format=form)
    assert path == "/run/@cf/deepgram/aura-2-en"
    assert body == {"text": "Good morning.", "speaker": "luna", **encoding}


def test_melotts_speaks_english_and_french_in_mp3() -> None:
    path, body, dropped = say("cloudflare", "@cf/myshell-ai/melotts", language="fr-FR", speed=2)
    assert (path, body, dropped) == (
        *("/run/@cf/myshell-ai/melotts", {"prompt": "Good morning.", "lang": "fr"}, ("speed",)),
    )
    for bad in ({"language": "hi"}, {"response_format": "wav"}):
        with pytest.raises(Problem):
            say("cloudflare", "@cf/myshell-ai/melotts", **bad)


def test_openrouter_is_always_told_the_format() -> None:
    _, body, _ = say("openrouter", "openai/gpt-4o-mini-tts", "nova", instructions="softly", speed=0.5)
    assert body == {
        **{"model": "openai/gpt-4o-mini-tts", "input": "Good morning.", "voice": "nova", "response_format": "mp3"},
        **{"speed": 0.5, "instructions": "softly"},
    }


def test_sarvams_language_goes_out_under_its_other_name_when_that_was_refused() -> None:
    way = SarvamSpeaker()
    way.other_field()
    body = msgspec.json.decode(way.ask("bulbul:v3", spoken(language="ta"), "shubh", "Hi.", HEADERS).body)
    assert (body["language_code"], "target_language_code" in body) == ("ta-IN", False)
