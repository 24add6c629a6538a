"""Those who hear and speak in the day: what a recording says is in its sound, and so is what is spoken, so that voice
notes can be traced from phone to phone as texts can.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

import trio

from app.core.billing import Bill
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.speech import SpeechRequest
from app.core.transcription import Transcript
from app.observability.facts import CallFacts
from app.usecases.meter import Ask, Call, Meter
from app.usecases.sink import Served
from app.usecases.speak import SpeechSink, Spoken
from app.usecases.transcribe import Understood
from app.usecases.upload import Upload
from scripts.simulator import sound
from scripts.simulator.whatsapp.sayings import Saying
from tests.books import PLENTY
from tests.channels.day.model import TOKEN

#: By category.
COSTS: Final = {"stt": 30, "tts": 45}
HOLD: Final = 60
#: Of nine characters, as the name is whose place a token takes in the head of a recording.
_NAME: Final = b"simulator"
#: Stands before the words that were spoken, behind the sound.
_WORDS: Final = b"\0words:"
Act = Literal["well", "fail", "busy", "hang", "nothing", "half"]
Mood = dict[Act, int]
WELL: Final[Mood] = {"well": 1}
HARD_OF_HEARING: Final[Mood] = {"well": 3, "fail": 2, "busy": 2, "hang": 1, "nothing": 2}
HOARSE: Final[Mood] = {"well": 3, "fail": 2, "busy": 1, "hang": 1, "half": 2}


@dataclass(frozen=True)
class Done:
    """As `app.usecases.routed` ends a call."""

    answer: Any


@dataclass
class Speech:
    """Whoever stands behind all processes' speech."""

    random: Random
    hearing: Mood = field(default_factory=lambda: dict(WELL))
    speaking: Mood = field(default_factory=lambda: dict(WELL))
    flying: int = 0
    #: What was not understood at some time; turns in which hearing hung or was busy.
    unheard: set[str] = field(default_factory=set)
    troubled: set[str] = field(default_factory=set)
    #: What was asked to be spoken, and did not come.
    unspoken: int = 0


@dataclass
class Audio:
    """One process's way to it, in place of `AudioServices`."""

    speech: Speech
    meter: Meter

    async def hear(self, principal: Principal, upload: Upload, facts: CallFacts, reply: Any) -> Done:
        """In place of `run_transcription`."""
        speech, token = self.speech, spoken_token(await upload.read(0, upload.size))
        async with self._open_call(principal, "stt") as call:
            act = _chosen(speech.random, speech.hearing)
            if act not in ("well", "busy"):
                speech.unheard.add(token)
            if act in ("busy", "hang"):
                speech.troubled.add(facts.marks.trace_id)
            await _passes(act, speech.random.uniform(0.3, 3))
            text = "" if act == "nothing" else f"{token} is what I said"
            bill = Bill("completed", COSTS["stt"], "provider_usage", "B17")
            understood = Understood(Transcript(text), 1500, bill)
            await call.post(bill, reply(understood, Served(call.id, "stt", 0, call.allowance)))
            return Done(understood)

    async def speak(self, principal: Principal, wish: SpeechRequest, sink: SpeechSink) -> Done:
        """In place of `run_speech`."""
        speech = self.speech
        async with self._open_call(principal, "tts") as call:
            act = _chosen(speech.random, speech.speaking)
            speech.unspoken += act != "well"
            served = Served(call.id, "tts", 0, call.allowance)
            data = sound.opus(400) + _WORDS + wish.input.encode()
            await sink.begin(served)
            await sink.write(data[:300])
            await _passes("fail" if act == "half" else act, speech.random.uniform(0.3, 4))
            await sink.write(data[300:])
            await sink.end()
            bill = Bill("completed", COSTS["tts"], "provider_usage", "B17")
            spoken = Spoken(bill)
            await call.post(bill, sink.settling(spoken, served))
            return Done(spoken)

    @asynccontextmanager
    async def _open_call(self, principal: Principal, category: str) -> AsyncIterator[Call]:
        wanted = Ask("whatsapp", category, category, False, HOLD, "req_1", PLENTY)
        async with self.meter.open_call(principal, wanted) as call:
            self.speech.flying += 1
            try:
                yield call
            finally:
                self.speech.flying -= 1


async def run_transcription(
    audio: Audio, principal: Principal, _plan: Any, _wish: Any, upload: Upload, facts: CallFacts, reply: Any
) -> Done:
    return await audio.hear(principal, upload, facts, reply)


async def run_speech(audio: Audio, principal: Principal, wish: SpeechRequest, sink: SpeechSink, _facts: Any) -> Done:
    return await audio.speak(principal, wish, sink)


def recording(token: str) -> Saying:
    """A voice note that says it."""
    data = sound.opus(1500).replace(_NAME, token.encode().ljust(len(_NAME), b"."))
    return Saying(type="voice", data=base64.b64encode(data).decode())


def spoken_token(data: bytes) -> str:
    """What a recording says."""
    found = TOKEN.search(data[:200].decode("latin1"))
    return found[0] if found else ""


def spoken_words(data: bytes) -> str:
    """What one of our voice notes says."""
    return data.partition(_WORDS)[2].decode()


def _chosen(random: Random, mood: Mood) -> Act:
    return random.choices(list(mood), list(mood.values()))[0]


async def _passes(act: Act, seconds: float) -> None:
    await trio.sleep(seconds)
    match act:
        case "fail":
            raise Problem("upstream_error", "Those who hear and speak are ill.")
        case "busy":
            raise Problem("rate_limit_exceeded", "Too much at once.", retry_after_s=2.0)
        case "hang":
            await trio.sleep_forever()
        case _:
            pass
