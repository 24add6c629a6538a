"""Text to speech as clients ask for it: `/v1/audio/speech` (spec.md section 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.decode import convert, decode_object
from app.core.errors import Problem

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
LONGEST_INPUT: Final = 4096
DEFAULT_LANGUAGE: Final = "en-IN"
MOST_IGNORED: Final = 20
LONGEST_NAME: Final = 64
CONTENT_TYPES: Final[dict[SpeechFormat, str]] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class SpeechFields(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The wire fields with their bounds."""

    input: Annotated[str, Meta(min_length=1, max_length=LONGEST_INPUT)]
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    voice: Annotated[str, Meta(max_length=200)] | None = None
    language: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    speed: Annotated[float, Meta(ge=0.5, le=2.0)] | None = None
    speech_sample_rate: Literal[8000, 16000, 22050, 24000, 48000] | None = None
    response_format: SpeechFormat | None = None
    instructions: Annotated[str, Meta(max_length=4096)] | None = None
    stream_format: Literal["audio", "sse"] | None = None


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What is to be said and how. `characters` is what it is billed by."""

    input: str
    model: str | None
    voice: str | None
    #: None when the client says nothing.
    language: str | None
    speed: float | None
    sample_rate: int | None
    format: SpeechFormat
    instructions: str | None
    ignored: tuple[str, ...]

    @property
    def characters(self) -> int:
        return len(self.input)


def parse_speech(body: bytes) -> SpeechRequest:
    """The request in `body`. Raises Problem 400 that names the field."""
    raw: dict[str, Any] = decode_object(body)
    fields = convert(raw, SpeechFields)
    if fields.stream_format == "sse":
        raise Problem(
            "unsupported_parameter", "Speech is streamed as audio. Leave `stream_format` out.", "stream_format"
        )
    if not fields.input.strip():
        raise Problem("invalid_value", "input holds nothing to say. Send some text.", "input")
    unknown = [name[:LONGEST_NAME] for name in raw if name not in SpeechFields.__struct_fields__]
    return SpeechRequest(
        input=fields.input,
        model=fields.model,
        voice=fields.voice,
        language=fields.language,
        speed=fields.speed,
        sample_rate=fields.speech_sample_rate,
        format=fields.response_format or "mp3",
        instructions=fields.instructions,
        ignored=tuple(unknown[:MOST_IGNORED]),
    )


def known_voice(voice: str | None, voices: tuple[str, ...], default: str) -> str:
    """The voice of that name in any case, else the model's own (spec.md section 10: an unknown voice is no error)."""
    wanted = (voice or "").casefold()
    return next((name for name in voices if name.casefold() == wanted), default)


def split_text(text: str, longest: int) -> list[str]:
    """`text` in pieces of at most `longest` characters that end at sentences, else at spaces; nothing is lost."""
    pieces = []
    while len(text) > longest:
        cut = _last_end(text[:longest])
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


ENDS: Final = (("\n", ".", "!", "?", "।", "॥", "…"), (",", ";", ":"), (" ",))


def _last_end(text: str) -> int:
    """Just behind the last sentence end in the second half; the next best ends where there is none."""
    for marks in ENDS:
        at = max(text.rfind(mark) for mark in marks) + 1
        if at > len(text) // 2:
            return at
    return len(text)
