"""Speech to text as clients ask for it and read it: `/v1/audio/transcriptions` and `/v1/audio/translations`.

Source: spec.md section 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.decode import convert
from app.core.errors import Problem

Task = Literal["transcribe", "translate"]
Mode = Literal["transcribe", "translate", "verbatim", "translit", "codemix"]
ResponseFormat = Literal["json", "text", "verbose_json"]
ENGLISH: Final = "en"
#: Fields that may come more than once, with or without the brackets that some clients put behind their names.
LISTS: Final = frozenset({"timestamp_granularities", "include"})
#: They would change the shape of the answer and no model here has them.
REFUSED: Final = {"stream": ("false", "0", ""), "chunking_strategy": ("auto", ""), "known_speaker_names": ("",)}
MOST_IGNORED: Final = 20
LONGEST_NAME: Final = 64


class TranscriptionFields(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The fields of the form beside its file."""

    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    language: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$|^unknown$|^multi$")] | None = None
    mode: Mode | None = None
    response_format: ResponseFormat = "json"
    timestamp_granularities: list[Literal["word", "segment"]] = []
    prompt: Annotated[str, Meta(max_length=4096)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """What is asked of a recording. `language` None means that it is to be detected."""

    model: str | None
    mode: Mode
    language: str | None
    response_format: ResponseFormat
    prompt: str | None
    temperature: float | None
    words: bool
    ignored: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        return "translate" if self.mode == "translate" else "transcribe"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood. `length_ms` is the provider's own figure, `spoken_ms` where the last word ends.

    `segments` and `words` are as clients get them.
    """

    text: str
    language: str | None = None
    length_ms: int | None = None
    spoken_ms: int | None = None
    segments: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    words: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def read_transcription(form: Mapping[str, Sequence[str]], *, translate: bool) -> TranscriptionRequest:
    """The request in a form's fields. Raises Problem 400 that names the field; unknown fields are listed as ignored."""
    raw: dict[str, Any] = {}
    for given, values in form.items():
        name = given.removesuffix("[]")
        if name in LISTS:
            raw[name] = [*raw.get(name, ()), *values]
        elif values[-1] != "":
            raw[name] = values[-1]
    _refuse_shapes(raw)
    if "temperature" in raw:
        raw["temperature"] = _number(raw["temperature"])
    fields = convert(raw, TranscriptionFields)
    if translate and fields.mode not in (None, "translate"):
        raise Problem("invalid_value", "Translations have no `mode`. Use /v1/audio/transcriptions for it.", "mode")
    known = frozenset(TranscriptionFields.__struct_fields__)
    unknown = [name[:LONGEST_NAME] for name in raw if name not in known]
    return TranscriptionRequest(
        model=fields.model,
        mode="translate" if translate else fields.mode or "transcribe",
        language=None if fields.language == "unknown" else fields.language,
        response_format=fields.response_format,
        prompt=fields.prompt,
        temperature=fields.temperature,
        words="word" in fields.timestamp_granularities,
        ignored=tuple(unknown[:MOST_IGNORED]),
    )


def render(request: TranscriptionRequest, transcript: Transcript, length_ms: int) -> tuple[str, bytes]:
    """Content type and body of the answer. Text is a bare body; `words` are there where the upstream has them."""
    if request.response_format == "text":
        return "text/plain; charset=utf-8", transcript.text.encode()
    if request.response_format == "json":
        return "application/json", msgspec.json.encode({"text": transcript.text})
    translated = request.task == "translate"
    body = {
        "task": request.task,
        "language": ENGLISH if translated else transcript.language or request.language or "unknown",
        "duration": length_ms / 1000,
        "text": transcript.text,
        "segments": transcript.segments,
        "words": transcript.words,
    }
    return "application/json", msgspec.json.encode(body)


def two_letters(language: str) -> str:
    """`hi-IN` as `hi`, for upstreams that know languages only."""
    return language.replace("_", "-").partition("-")[0].lower()


def _refuse_shapes(raw: dict[str, Any]) -> None:
    for name, harmless in REFUSED.items():
        if name in raw and str(raw[name]).lower() not in harmless:
            raise Problem("unsupported_parameter", f"No model here supports `{name}`. Remove it.", name)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Problem("invalid_type", "temperature must be a number from 0 to 1.", "temperature") from None
