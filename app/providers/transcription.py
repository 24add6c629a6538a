"""Speech to text at each provider: how a recording is sent there, how the answer is read (wire/*.md). Pure."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec

from app.core.errors import Problem, UpstreamError
from app.core.recordings import Recording
from app.core.transcription import Transcript, TranscriptionRequest, two_letters
from app.providers.body import Part, Source, StreamedBody, Uploading
from app.providers.dialect import TIRED, ChatAsk, Dialect, Verdict, upstream_error

Headers = tuple[tuple[bytes, bytes], ...]
#: What is set anew for an upload.
CONTENT_HEADERS: Final = frozenset({b"content-type", b"accept"})
#: Where in a body its envelope is.
ENVELOPE_BYTES: Final = 4096
UNREADABLE: Final = Verdict(
    "invalid_request_error",
    "This model could not use the recording. Convert it to WAV or MP3, or use another model.",
    param="file",
)


@dataclass(frozen=True, slots=True)
class Clip:
    """What is sent of an upload: `size` bytes from `start`, behind a header of its own where it was cut out."""

    recording: Recording
    source: Source
    size: int
    start: int = 0
    before: bytes = b""

    @property
    def part(self) -> Part:
        return Part(self.source, self.start, self.size)

    @property
    def filename(self) -> str:
        """Upstreams look at its end; the client's own name stays here."""
        return f"audio.{'m4a' if self.recording.format == 'mp4' else self.recording.format}"


class Transcriber(Protocol):
    """One provider's way."""

    def ask(self, upstream: str, wish: TranscriptionRequest, clip: Clip, headers: Headers) -> Uploading:
        """The question. Raises Problem for what this upstream cannot do."""

    def read(self, answer: Mapping[str, Any]) -> Transcript:
        """The answer, already decoded. Raises KeyError, TypeError, ValueError, IndexError for any other shape."""


class SarvamTranscriber:
    """wire/sarvam.md section 3."""

    def ask(self, upstream: str, wish: TranscriptionRequest, clip: Clip, headers: Headers) -> Uploading:
        fields = [("model", upstream), ("mode", wish.mode), ("language_code", sarvam_language(wish.language))]
        dropped = _set(prompt=wish.prompt, temperature=wish.temperature)
        return form("/speech-to-text", fields, clip, headers, dropped)

    def read(self, answer: Mapping[str, Any]) -> Transcript:
        return Transcript(_text(answer["transcript"]), answer.get("language_code"))


class WhisperTranscriber:
    """Cloudflare's whisper: JSON with the recording in base64 (wire/cloudflare.md section 5)."""

    def ask(self, upstream: str, wish: TranscriptionRequest, clip: Clip, headers: Headers) -> Uploading:
        options: dict[str, Any] = {"task": wish.task, "vad_filter": False}
        if wish.language is not None:
            options["language"] = two_letters(wish.language)
        if wish.prompt is not None:
            options["initial_prompt"] = wish.prompt
        head = msgspec.json.encode(options)[:-1] + b',"audio":"'
        body = StreamedBody((head, replace(clip.part, base64=True), b'"}'))
        dropped = _set(temperature=wish.temperature)
        return Uploading(f"/run/{upstream}", typed(headers, b"application/json"), body, dropped)

    def read(self, answer: Mapping[str, Any]) -> Transcript:
        result = answer["result"]
        info = result.get("transcription_info") or {}
        segments = [
            {"id": number, "start": one["start"], "end": one["end"], "text": one["text"]}
            for number, one in enumerate(result.get("segments") or ())
        ]
        words = [_word(word, word["word"]) for one in result.get("segments") or () for word in one.get("words") or ()]
        return Transcript(_text(result["text"]), info.get("language"), _ms(info.get("duration")), None, segments, words)


class NovaTranscriber:
    """Cloudflare's nova-3: the bare bytes, options in the query (wire/cloudflare.md section 5)."""

    def ask(self, upstream: str, wish: TranscriptionRequest, clip: Clip, headers: Headers) -> Uploading:
        options = {"punctuate": "true", "smart_format": "true"}
        options |= {"detect_language": "true"} if wish.language is None else {"language": wish.language}
        dropped = _set(prompt=wish.prompt, temperature=wish.temperature)
        content_type = clip.recording.mime.encode()
        path = f"/run/{upstream}?{urlencode(options)}"
        return Uploading(path, typed(headers, content_type), StreamedBody((clip.part,)), dropped)

    def read(self, answer: Mapping[str, Any]) -> Transcript:
        channel = answer["result"]["results"]["channels"][0]
        best = channel["alternatives"][0]
        words = [_word(word, word.get("punctuated_word") or word["word"]) for word in best.get("words") or ()]
        spoken_ms = _ms(words[-1]["end"]) if words else None
        return Transcript(_text(best["transcript"]), channel.get("detected_language"), None, spoken_ms, (), words)


class OpenAITranscriber:
    """OpenRouter and self-hosted servers (wire/openrouter.md section 5, wire/openai-compatible.md)."""

    def ask(self, upstream: str, wish: TranscriptionRequest, clip: Clip, headers: Headers) -> Uploading:
        detailed = wish.response_format == "verbose_json"
        fields = [("model", upstream), ("response_format", "verbose_json" if detailed else "json")]
        if wish.language is not None and wish.task == "transcribe":
            fields.append(("language", two_letters(wish.language)))
        if wish.prompt is not None:
            fields.append(("prompt", wish.prompt))
        if wish.temperature is not None:
            fields.append(("temperature", f"{wish.temperature:g}"))
        if wish.words and detailed:
            fields += [("timestamp_granularities[]", "segment"), ("timestamp_granularities[]", "word")]
        path = "/audio/translations" if wish.task == "translate" else "/audio/transcriptions"
        return form(path, fields, clip, headers)

    def read(self, answer: Mapping[str, Any]) -> Transcript:
        seconds = (answer.get("usage") or {}).get("seconds")
        seconds = answer.get("duration") if seconds is None else seconds
        segments, words = answer.get("segments") or (), answer.get("words") or ()
        return Transcript(_text(answer["text"]), answer.get("language"), _ms(seconds), None, segments, words)


def transcriber(provider: str, upstream: str) -> Transcriber:
    """The way that a route is asked."""
    if provider == "sarvam":
        return SarvamTranscriber()
    if provider == "cloudflare":
        return NovaTranscriber() if "/deepgram/" in upstream else WhisperTranscriber()
    return OpenAITranscriber()


def read_answer(body: bytes, read: Callable[[Mapping[str, Any]], Transcript]) -> Transcript:
    """The transcript in a 200. Raises UpstreamError for any other shape."""
    try:
        return read(msgspec.json.decode(body))
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UpstreamError(
            "upstream_error", TIRED, retry="once", breaker="count", detail=f"no transcript: {type(error).__name__}"
        ) from None


def check_envelope(body: bytes, dialect: Dialect, ask: ChatAsk) -> None:
    """A 200 may still be a refusal: Cloudflare says `success: false`. Raises UpstreamError."""
    if b'"success"' not in body[-ENVELOPE_BYTES:] and b'"success"' not in body[:ENVELOPE_BYTES]:
        return
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return
    if isinstance(answer, dict) and answer.get("success") is False:
        raise of_recording(dialect.fault(answer, ask))


def of_recording(error: UpstreamError) -> UpstreamError:
    """A refused request is about the recording: the other fields have been checked here."""
    if error.code != "invalid_request_error":
        return error
    return upstream_error(UNREADABLE, error.detail, status=error.status, secret="")


#: Sarvam spells Odia its own way.
RESPELT: Final = {"or": "od"}
SARVAM_LANGUAGES: Final = frozenset(
    "hi bn kn ml mr od pa ta te en gu as ur ne kok ks sd sa sat mni brx mai doi".split()  # noqa: SIM905 - a list of words
)


def sarvam_language(language: str | None) -> str:
    """`hi` as `hi-IN`; nothing is `unknown`, which detects. Raises Problem for a language it does not have."""
    if language is None:
        return "unknown"
    short = two_letters(language)
    short = RESPELT.get(short, short)
    if short not in SARVAM_LANGUAGES:
        raise Problem("invalid_value", "This model does not know that language. Leave it out to detect.", "language")
    return f"{short}-IN"


def form(
    path: str, fields: Iterable[tuple[str, str]], clip: Clip, headers: Headers, dropped: tuple[str, ...] = ()
) -> Uploading:
    """A multipart form with the fields, then the clip."""
    boundary = secrets.token_hex(16)
    lines = "".join(
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )
    lines += (
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{clip.filename}"\r\n'
        f"content-type: {clip.recording.mime}\r\n\r\n"
    )
    body = StreamedBody((lines.encode() + clip.before, clip.part, f"\r\n--{boundary}--\r\n".encode()))
    return Uploading(path, typed(headers, f"multipart/form-data; boundary={boundary}".encode()), body, dropped)


def typed(headers: Headers, content_type: bytes) -> Headers:
    """The dialect's headers for a body of another type."""
    kept = tuple(header for header in headers if header[0] not in CONTENT_HEADERS)
    return (*kept, (b"content-type", content_type), (b"accept", b"application/json"))


def _set(**fields: object) -> tuple[str, ...]:
    return tuple(name for name, value in fields.items() if value is not None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def _ms(seconds: Any) -> int | None:
    return -int(-float(seconds) * 1000 // 1) if isinstance(seconds, int | float) else None


def _word(word: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {"word": text, "start": word["start"], "end": word["end"]}
