"""Text to speech at Sarvam, Cloudflare and OpenRouter: sound as long as the text, in pieces, at a pace."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import msgspec

from scripts.simulator.admitting import admitted
from scripts.simulator.chat import NOISY, Asked, refusal
from scripts.simulator.cues import Cues
from scripts.simulator.script import JSON, Headers, Script, Step, json_script
from scripts.simulator.sound import MEDIA, MS_PER_CHARACTER, SOUNDS
from scripts.simulator.triggers import Quirk, Trigger

#: What one write carries; `[pace=N]` counts these.
_PIECE_BYTES: Final = 4096
_LONGEST: Final = 2500
_BREAKING: Final = frozenset[Quirk]({"invalid_json_body", "bad_first_chunk"})
_SPOILING: Final = _BREAKING | {"empty_answer"}

Json = dict[str, Any]


def sarvam(asked: Asked) -> Script:
    """POST /text-to-speech: JSON with base64 (wire/sarvam.md section 4)."""
    fields = _fields(asked)
    text = str(fields.get("text") or "")
    if not 0 < len(text) <= _LONGEST or "target_language_code" not in fields:
        return refusal(asked.dialect, "bad_request", "text and target_language_code are required; text up to 2500")
    sound = _sound(text, fields.get("output_audio_codec", "wav"), fields.get("speech_sample_rate") or 24000)
    body = b'{"request_id":"simulated","audios":["' + b64encode(sound) + b'"]}'
    return _play(asked, str(fields.get("model")), text, body, b'{"request_id":"simulated","audios":[]}', JSON)


def sarvam_stream(asked: Asked) -> Script:
    """POST /text-to-speech/stream: bytes."""
    fields = _fields(asked)
    codec = fields.get("output_audio_codec", "mp3")
    text = str(fields.get("text") or "")
    sound = _sound(text, codec, fields.get("speech_sample_rate") or 24000)
    return _play(asked, str(fields.get("model")), text, sound, b"", _media(codec))


def aura(asked: Asked) -> Script:
    """POST /run/@cf/deepgram/aura-2-* (wire/cloudflare.md section 5)."""
    fields = _fields(asked)
    encoding = fields.get("encoding", "mp3")
    codec = "wav" if (encoding, fields.get("container")) == ("linear16", "wav") else encoding
    text = str(fields.get("text") or "")
    sound = _sound(text, codec, fields.get("sample_rate") or 24000)
    return _play(asked, asked.record.path.partition("/run/")[2], text, sound, b"", _media(codec))


def melotts(asked: Asked) -> Script:
    """POST /run/@cf/myshell-ai/melotts: MP3 in base64."""
    text = str(_fields(asked).get("prompt") or "")
    head, tail = b'{"result":{"audio":"', b'"},"success":true,"errors":[],"messages":[]}'
    body = head + b64encode(_sound(text, "mp3", 44100)) + tail
    return _play(asked, "@cf/myshell-ai/melotts", text, body, head + tail, JSON)


def openai(asked: Asked) -> Script:
    """POST /audio/speech (wire/openrouter.md section 1): MP3 or PCM."""
    fields = _fields(asked)
    codec = fields.get("response_format", "pcm")
    if codec not in ("mp3", "pcm"):
        return refusal(asked.dialect, "bad_request", "response_format is mp3 or pcm")
    text = str(fields.get("input") or "")
    return _play(asked, str(fields.get("model")), text, _sound(text, codec, 24000), b"", _media(codec))


def _fields(asked: Asked) -> Json:
    try:
        fields = msgspec.json.decode(asked.body)
    except msgspec.DecodeError:
        return {}
    asked.record.keep_body(asked.body)
    return fields if isinstance(fields, dict) else {}


def _sound(text: str, codec: str, rate: int) -> bytes:
    return SOUNDS[codec](len(text) * MS_PER_CHARACTER, rate)


def _media(codec: str) -> Headers:
    return (("content-type", MEDIA[codec]),)


def _play(asked: Asked, model: str, text: str, body: bytes, empty: bytes, headers: Headers) -> Script:
    """The answer as its cues and triggers want it; the book gets the characters as its usage."""
    found = admitted(asked, model, text, lambda cues: cues.triggers)
    if isinstance(found, Script):
        return found
    cues, trigger = found
    if trigger.error and not trigger.after_tokens:
        return replace(json_script(asked.dialect.envelope(asked.dialect.errors["server_error"])), fault=True)
    if "empty_answer" in trigger.quirks:
        body = empty
    if trigger.quirks & _BREAKING:
        body = body[: len(body) // 2]
    noisy = NOISY if "noisy_headers" in trigger.quirks else ()
    return Script(
        headers=headers + noisy,
        steps=() if trigger.stop == "body" else _pieces(asked, cues, trigger, body, len(text)),
        ending=trigger.ending,
        fault=trigger.stop is not None or bool(trigger.quirks & _SPOILING),
    )


def _pieces(asked: Asked, cues: Cues, trigger: Trigger, body: bytes, characters: int) -> Iterator[Step]:
    paces = (cues.pace, trigger.pace, asked.settings.pace)
    pace = next((pace for pace in paces if pace is not None), 0.0)
    first_s = (cues.first_ms if cues.first_ms is not None else asked.settings.first_token_ms or 0.0) / 1000
    count = -(-len(body) // _PIECE_BYTES)
    shown = min(count, trigger.after_tokens) if trigger.stop == "content" else count
    for number in range(shown):
        data = body[number * _PIECE_BYTES : (number + 1) * _PIECE_BYTES]
        step = Step(data, first_s + (number / pace if pace else 0.0), 1)
        yield step._replace(usage={"characters": characters}) if number == count - 1 else step
