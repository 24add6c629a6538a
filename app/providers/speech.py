"""Text to speech at each provider: how a text is sent there (wire/*.md). Pure.

Every answer is sound as bytes or JSON with sound in base64; its content type says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from app.core.errors import Problem
from app.core.speech import DEFAULT_LANGUAGE, SpeechFormat, SpeechRequest
from app.core.transcription import two_letters
from app.providers.dialect import Outgoing, unsupported

Headers = tuple[tuple[bytes, bytes], ...]
DEFAULT_RATE: Final = 24000
#: PCM as it comes from a provider: 16 bit, one channel.
JOINABLE: Final = frozenset({"mp3", "wav", "pcm"})


class Speaker(Protocol):
    """One provider's way."""

    def longest(self, audio: SpeechFormat) -> int | None:
        """Characters that one call takes."""

    def ask(self, upstream: str, wish: SpeechRequest, voice: str, text: str, headers: Headers) -> Outgoing:
        """The question for one piece of text. Raises Problem for what this upstream cannot do."""


class SarvamSpeaker:
    """wire/sarvam.md section 4: JSON with base64, but Opus from its streaming twin."""

    CODECS: Final[Mapping[SpeechFormat, str]] = {"pcm": "linear16"}

    def __init__(self) -> None:
        #: Documented under two names; the adapter goes over to the other when this one is refused.
        self.language_field = "target_language_code"

    def longest(self, audio: SpeechFormat) -> int | None:
        return 3500 if audio == "opus" else 2500

    def ask(self, upstream: str, wish: SpeechRequest, voice: str, text: str, headers: Headers) -> Outgoing:
        body: dict[str, Any] = {
            "text": text,
            self.language_field: spoken_in(wish.language or DEFAULT_LANGUAGE),
            "speaker": voice.lower(),
            "model": upstream,
            "speech_sample_rate": wish.sample_rate or DEFAULT_RATE,
            "output_audio_codec": self.CODECS.get(wish.format, wish.format),
        }
        if wish.speed is not None:
            body["pace"] = wish.speed
        path = "/text-to-speech/stream" if wish.format == "opus" else "/text-to-speech"
        return _outgoing(path, headers, body, _set(instructions=wish.instructions))

    def other_field(self) -> None:
        """The language's field was refused by its name."""
        names = {"target_language_code": "language_code", "language_code": "target_language_code"}
        self.language_field = names[self.language_field]


class AuraSpeaker:
    """Cloudflare's aura-2: bytes (wire/cloudflare.md section 5)."""

    ENCODINGS: Final[Mapping[SpeechFormat, tuple[str, str | None]]] = {
        "mp3": ("mp3", None),
        "wav": ("linear16", "wav"),
        "pcm": ("linear16", "none"),
        "opus": ("opus", "ogg"),
        "flac": ("flac", None),
        "aac": ("aac", None),
    }
    #: The others have a rate of their own.
    RATED: Final = frozenset({"wav", "pcm", "flac"})

    def longest(self, audio: SpeechFormat) -> int | None:
        return None

    def ask(self, upstream: str, wish: SpeechRequest, voice: str, text: str, headers: Headers) -> Outgoing:
        encoding, container = self.ENCODINGS[wish.format]
        body: dict[str, Any] = {"text": text, "speaker": voice, "encoding": encoding}
        if container is not None:
            body["container"] = container
        rate = wish.sample_rate
        if wish.format in self.RATED:
            body["sample_rate"], rate = rate or DEFAULT_RATE, None
        dropped = _set(
            language=wish.language, speed=wish.speed, speech_sample_rate=rate, instructions=wish.instructions
        )
        return _outgoing(f"/run/{upstream}", headers, body, dropped)


class MeloSpeaker:
    """Cloudflare's melotts: MP3 only, in base64 (wire/cloudflare.md section 5)."""

    LANGUAGES: Final = frozenset({"en", "fr"})

    def longest(self, audio: SpeechFormat) -> int | None:
        return None

    def ask(self, upstream: str, wish: SpeechRequest, voice: str, text: str, headers: Headers) -> Outgoing:
        if wish.format != "mp3":
            raise unsupported("response_format")
        language = two_letters(wish.language or DEFAULT_LANGUAGE)
        if language not in self.LANGUAGES:
            raise _unspoken()
        dropped = _set(speed=wish.speed, speech_sample_rate=wish.sample_rate, instructions=wish.instructions)
        return _outgoing(f"/run/{upstream}", headers, {"prompt": text, "lang": language}, dropped)


class OpenAISpeaker:
    """OpenRouter and self-hosted servers (wire/openrouter.md section 1): MP3 or PCM, always named."""

    FORMATS: Final = frozenset({"mp3", "pcm"})

    def longest(self, audio: SpeechFormat) -> int | None:
        return None

    def ask(self, upstream: str, wish: SpeechRequest, voice: str, text: str, headers: Headers) -> Outgoing:
        if wish.format not in self.FORMATS:
            raise unsupported("response_format")
        body: dict[str, Any] = {"model": upstream, "input": text, "voice": voice, "response_format": wish.format}
        if wish.speed is not None:
            body["speed"] = wish.speed
        if wish.instructions is not None:
            body["instructions"] = wish.instructions
        dropped = _set(language=wish.language, speech_sample_rate=wish.sample_rate)
        return _outgoing("/audio/speech", headers, body, dropped)


SARVAM: Final = SarvamSpeaker()


def speaker(provider: str, upstream: str) -> Speaker:
    """The way that a route is asked."""
    if provider == "sarvam":
        return SARVAM
    if provider == "cloudflare":
        return MeloSpeaker() if upstream.endswith("/melotts") else AuraSpeaker()
    return OpenAISpeaker()


SPOKEN: Final = frozenset({"bn", "en", "gu", "hi", "kn", "ml", "mr", "od", "pa", "ta", "te"})


def spoken_in(language: str) -> str:
    """Sarvam's code of a language. Raises Problem for one it does not speak."""
    short = two_letters(language)
    short = "od" if short == "or" else short
    if short not in SPOKEN:
        raise _unspoken()
    return f"{short}-IN"


def _unspoken() -> Problem:
    return Problem(
        "invalid_value", "This model does not speak that language. Use another language or model.", "language"
    )


def _outgoing(path: str, headers: Headers, body: dict[str, Any], dropped: tuple[str, ...]) -> Outgoing:
    kept = tuple(header for header in headers if header[0] != b"accept")
    return Outgoing(path, (*kept, (b"accept", b"*/*")), msgspec.json.encode(body), dropped)


def _set(**fields: object) -> tuple[str, ...]:
    return tuple(name for name, value in fields.items() if value is not None)
