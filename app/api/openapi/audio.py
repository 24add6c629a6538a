"""`/v1/audio`: recordings in, text out, and text in, sound out."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from app.api.openapi import headers
from app.api.openapi.described import Content, Described
from app.api.openapi.errors import MODEL, PROVIDER
from app.api.openapi.inference import BILLABLE
from app.api.openapi.replies.media import TranscriptText, TranscriptVerbose
from app.api.openapi.samples import FORM, openai
from app.core.speech import CONTENT_TYPES, SpeechFields
from app.core.transcription import Mode, TranscriptionFields

ERRORS: Final = (*BILLABLE, *MODEL, *PROVIDER, "unsupported_parameter")
Recording = Annotated[
    str,
    Meta(description="the recording, at most 25 MiB; its kind is found out", extra_json_schema={"format": "binary"}),
]


class TranscriptionForm(TranscriptionFields, frozen=True, kw_only=True):
    """A multipart form with the recording."""

    file: Recording


class TranslationForm(TranscriptionFields, frozen=True, kw_only=True):
    """The same without `mode`: the text is always English."""

    file: Recording
    mode: Annotated[Mode | None, Meta(description="nothing or `translate`")] = None


TRANSCRIPTS: Final = (
    Content(type=(TranscriptText, TranscriptVerbose)),
    Content("text/plain", schema={"type": "string"}),
)

OPERATIONS: Final = (
    Described(
        method="POST",
        path="/v1/audio/transcriptions",
        tag="audio",
        name="create_transcription",
        summary="Transcribe a recording",
        description=(
            "`response_format` is json, text or verbose_json. Without `language` it is detected. Billed by the "
            "recording's length. Needs the permission `stt`."
        ),
        security=("bearer",),
        headers=headers.ASKED,
        body=(Content(FORM, type=TranscriptionForm, example={"file": "@speech.wav", "model": "saaras:v3"}),),
        reply=TRANSCRIPTS,
        reply_headers=headers.CALL,
        errors=ERRORS,
        samples=openai(
            """
with open("speech.wav", "rb") as recording:
    transcript = client.audio.transcriptions.create(model="saaras:v3", file=recording)
print(transcript.text)"""
        ),
    ),
    Described(
        method="POST",
        path="/v1/audio/translations",
        tag="audio",
        name="create_translation",
        summary="Translate a recording into English text",
        description="As transcriptions, and the text is always English. Needs the permission `stt`.",
        security=("bearer",),
        headers=headers.ASKED,
        body=(Content(FORM, type=TranslationForm, example={"file": "@speech.wav", "model": "saaras:v3"}),),
        reply=TRANSCRIPTS,
        reply_headers=headers.CALL,
        errors=ERRORS,
        samples=openai(
            """
with open("speech.wav", "rb") as recording:
    translation = client.audio.translations.create(model="saaras:v3", file=recording)
print(translation.text)"""
        ),
    ),
    Described(
        method="POST",
        path="/v1/audio/speech",
        tag="audio",
        name="create_speech",
        summary="Turn text into speech",
        description=(
            "The sound is sent on as it is made. A `voice` that the model does not have is its own voice instead. "
            "Billed by characters. Needs the permission `tts`."
        ),
        security=("bearer",),
        headers=headers.ASKED,
        body=(Content(type=SpeechFields, example={"model": "aura-2-en", "input": "Good morning."}),),
        reply=tuple(Content(media, schema={}) for media in CONTENT_TYPES.values()),
        reply_headers=headers.CALL,
        errors=ERRORS,
        samples=openai(
            """
with client.audio.speech.with_streaming_response.create(
    model="aura-2-en", input="Good morning.", voice="angus"
) as speech:
    speech.stream_to_file("speech.mp3")"""
        ),
    ),
)
