"""Speech to text at Sarvam, Cloudflare and OpenRouter: a transcript as long as the recording.

Cues are read from the recording's last bytes: `[tag=a1] [mock=500]` behind its sound.
"""

from __future__ import annotations

from base64 import b64decode
from email import message_from_bytes
from typing import Any, Final

import msgspec

from scripts.simulator.chat import Asked, refusal
from scripts.simulator.script import Script
from scripts.simulator.sound import length_ms
from scripts.simulator.unary import Body, answer_whole
from scripts.simulator.words import STORY, say

_CUE_BYTES: Final = 2048
_WORDS_A_SECOND: Final = 2.5
#: Sarvam's one call.
_LONGEST_MS: Final = 30_000

Json = dict[str, Any]


def sarvam(asked: Asked) -> Script:
    """POST /speech-to-text (wire/sarvam.md section 3)."""
    form = _form(asked)
    sound = form.pop("file", b"")
    if not sound or length_ms(sound) >= _LONGEST_MS:
        return refusal(asked.dialect, "bad_request", "audio must be present and under 30 seconds")
    fixed = {"request_id": "simulated", "diarized_transcript": None, "language_probability": 0.98}
    language = "en-IN" if form.get("language_code") in (None, "unknown") else form["language_code"]
    return _answer(
        asked, str(form.get("model")), form, sound, lambda text: fixed | {"transcript": text, "language_code": language}
    )


def whisper(asked: Asked) -> Script:
    """POST /run/@cf/openai/whisper-large-v3-turbo (wire/cloudflare.md section 5)."""
    try:
        fields: Json = msgspec.json.decode(asked.body)
        sound = b64decode(fields.pop("audio"), validate=True)
    except (msgspec.DecodeError, KeyError, ValueError):
        return refusal(asked.dialect, "bad_request")
    seconds = length_ms(sound) / 1000

    def result(text: str) -> Json:
        words = _timed(text, seconds)
        info = {"language": fields.get("language", "en"), "language_probability": 0.99, "duration": seconds}
        segments = [{"start": 0.0, "end": seconds, "text": text, "words": words}] if text else []
        found = {"text": text, "word_count": len(words), "segments": segments, "transcription_info": info}
        return {"result": found, "success": True, "errors": [], "messages": []}

    return _answer(asked, "@cf/openai/whisper-large-v3-turbo", fields, sound, result)


def nova(asked: Asked) -> Script:
    """POST /run/@cf/deepgram/nova-3 (wire/cloudflare.md section 5)."""
    seconds = length_ms(asked.body) / 1000

    def result(text: str) -> Json:
        words = [{**word, "confidence": 0.9, "punctuated_word": word["word"]} for word in _timed(text, seconds)]
        channel = {"alternatives": [{"transcript": text, "confidence": 0.9, "words": words}], "detected_language": "en"}
        return {"result": {"results": {"channels": [channel]}}, "success": True, "errors": [], "messages": []}

    return _answer(asked, "@cf/deepgram/nova-3", dict(asked.query), asked.body, result)


def openai(asked: Asked) -> Script:
    """POST /audio/transcriptions (wire/openrouter.md section 5)."""
    form = _form(asked)
    sound = form.pop("file", b"")
    if not sound:
        return refusal(asked.dialect, "bad_request", "a file is required")
    seconds = length_ms(sound) / 1000

    def result(text: str) -> Json:
        usage = {"usage": {"seconds": seconds, "total_tokens": 0, "cost": 0.0}}
        if form.get("response_format") != "verbose_json":
            return {"text": text, **usage}
        segments = [{"id": 0, "start": 0.0, "end": seconds, "text": text}]
        fixed = {"task": "transcribe", "language": "english", "duration": seconds, "segments": segments}
        return {"text": text, **fixed, "words": _timed(text, seconds), **usage}

    return _answer(asked, str(form.get("model")), form, sound, result)


def _answer(asked: Asked, model: str, fields: Json, sound: bytes, result: Any) -> Script:
    ms = length_ms(sound)
    asked.record.keep_body(msgspec.json.encode(fields | {"audio_bytes": len(sound), "audio_ms": ms}))
    text = "".join(piece.text for piece in say(STORY, max(1, round(ms / 1000 * _WORDS_A_SECOND))))
    encode = msgspec.json.encode
    body = Body(encode(result(text)), encode(result("")), usage={"seconds": ms / 1000})
    return answer_whole(asked, model, sound[-_CUE_BYTES:].decode("latin-1"), lambda: body)


def _form(asked: Asked) -> Json:
    """The fields of a multipart body as text, its file as bytes."""
    head = f"content-type: {asked.headers.get('content-type', '')}\r\n\r\n".encode()
    fields: Json = {}
    for part in message_from_bytes(head + asked.body).walk():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload if name == "file" else payload.decode()
    return fields


def _timed(text: str, seconds: float) -> list[Json]:
    words = text.split()
    step = seconds / len(words) if words else 0.0
    return [
        {"word": word, "start": round(at * step, 3), "end": round((at + 1) * step, 3)} for at, word in enumerate(words)
    ]
