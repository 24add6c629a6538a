"""How the tests of `/v1/audio` ask: recordings with cues in them, forms, and OpenAI's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2
import openai

from scripts.simulator import sound
from scripts.simulator.book import Record
from tests.e2e.calling import Caller, Json

TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
TRANSLATIONS: Final = "/v1/audio/translations"
SPEECH: Final = "/v1/audio/speech"
#: One model of each way to ask a provider, and its price in micro-USD: for an hour, for ten thousand characters.
HEARING: Final = {
    "saaras:v3": 530_000,
    "whisper-large-v3-turbo": 60_000,
    "nova-3": 500_000,
    "whisper": 400_000,
}
SPEAKING: Final = {
    "bulbul:v3": 530_000,
    "aura-2-en": 400_000,
    "melotts": 50_000,
    "gpt-4o-mini-tts": 200_000,
}
CREDITS_PER_USD: Final = 100


def recording(ms: int = 4000, cues: str = "", rate: int = 16000) -> bytes:
    """A WAV with a comment behind its sound, which is where the simulator looks for cues."""
    note = cues.encode() + b" " * (len(cues) % 2)
    return sound.wav(ms, rate) + (b"note" + len(note).to_bytes(4, "little") + note if note else b"")


def hearing_ucr(model: str, ms: int) -> int:
    """What so much sound costs, computed apart from the gateway's own arithmetic."""
    return -(-HEARING[model] * CREDITS_PER_USD * ms // 3_600_000)


def speaking_ucr(model: str, characters: int) -> int:
    return -(-SPEAKING[model] * CREDITS_PER_USD * characters // 10_000)


async def transcribe(
    caller: Caller,
    model: str | None = "whisper-large-v3-turbo",
    file: bytes | None = None,
    path: str = TRANSCRIPTIONS,
    **fields: str,
) -> httpx2.Response:
    """A form with the file, a short recording when none is given."""
    named = fields if model is None else {"model": model, **fields}
    files = {"file": ("speech.wav", recording() if file is None else file, "audio/wav")}
    return await caller.http.post(path, data=named, files=files)


async def say(
    caller: Caller, text: str = "Good morning.", model: str = "aura-2-en", **fields: object
) -> httpx2.Response:
    return await caller.post({"model": model, "input": text, **fields}, SPEECH)


def asked(caller: Caller, tag: str | None = None) -> list[Record]:
    """What the providers were asked to understand or to say."""
    return caller.upstream(tag)


@asynccontextmanager
async def open_sdk(caller: Caller) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{caller.house.url}/v1", api_key=caller.house.customer.key, max_retries=0
    ) as client:
        yield client


async def receipt(caller: Caller, reply: httpx2.Response) -> Json:
    return await caller.receipt(reply.headers["x-generation-id"])
