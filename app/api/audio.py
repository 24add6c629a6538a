"""`/v1/audio/...`: recordings in, text out, and text in, sound out; what happens between is in `usecases`."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from app.api.exchange import Exchange
from app.api.idempotent import answer_once
from app.api.routed import WholeReply, open_facts
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import served_headers
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.multipart import FIELDS_CAP, Form
from app.core.speech import CONTENT_TYPES, SpeechRequest, parse_speech
from app.core.transcription import read_transcription, render
from app.usecases.settling import Beside
from app.usecases.sink import Served
from app.usecases.speak import Spoken, run_speech
from app.usecases.transcribe import Understood, plan_transcription, run_transcription
from app.usecases.upload import Upload

TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
TRANSLATIONS: Final = "/v1/audio/translations"
SPEECH: Final = "/v1/audio/speech"


def routes(services: ApiServices) -> Routes:
    api = Routes("audio")

    @api.add("POST", TRANSCRIPTIONS, upload=True)
    async def transcribe(exchange: Exchange) -> None:
        await _understand(services, exchange, TRANSCRIPTIONS)

    @api.add("POST", TRANSLATIONS, upload=True)
    async def translate(exchange: Exchange) -> None:
        await _understand(services, exchange, TRANSLATIONS)

    @api.add("POST", SPEECH)
    async def speak(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            wish = parse_speech(exchange.body)
            sink = SoundSink(exchange, wish)
            with open_facts(exchange, SPEECH, "text_to_speech", "speech-") as facts:
                facts.streamed = True
                await run_speech(services.audio, principal, wish, sink, facts)
            await exchange.send(b"", more=False)

        await answer_once(services, exchange, "tts", answer)

    return api


async def _understand(services: ApiServices, exchange: Exchange, endpoint: str) -> None:
    """The upload is read once the key is known, and once only, whatever is tried again."""
    with closing(Upload()) as upload:
        received: list[Form] = []

        async def form() -> Form:
            if not received:
                received.append(await _receive(exchange, upload))
            return received[0]

        async def parts() -> tuple[bytes, ...]:
            """Not the body itself: a boundary differs each time that the same form is sent."""
            return *(await form()).parts(), await upload.digest()

        async def answer(principal: Principal) -> None:
            wish = read_transcription((await form()).fields, translate=endpoint == TRANSLATIONS)
            plan = plan_transcription(services.audio, principal, wish)

            def make(understood: Understood, _served: Served) -> tuple[str, bytes]:
                return render(wish, understood.transcript, understood.length_ms)

            reply = WholeReply(exchange, make)
            with open_facts(exchange, endpoint, "transcription", "stt-") as facts:
                done = await run_transcription(services.audio, principal, plan, wish, upload, facts, reply.settling)
            await reply.send(done.served)

        await answer_once(services, exchange, "stt", answer, parts)


async def _receive(exchange: Exchange, upload: Upload) -> Form:
    """The form, its file in `upload`. Raises Problem, Left."""
    form = Form(exchange.header(b"content-type"))
    while data := await exchange.receive(exchange.rules.upload_cap + FIELDS_CAP):
        for piece in form.feed(data):
            await upload.write(piece)
    if upload.size > exchange.rules.upload_cap:
        raise Problem("request_too_large", f"The file is larger than {exchange.rules.upload_cap} bytes.", "file")
    form.finish()
    await upload.finish()
    return form


class SoundSink:
    """Sends sound as it comes; the head goes out with the first of it."""

    def __init__(self, exchange: Exchange, wish: SpeechRequest) -> None:
        self._exchange = exchange
        self._content_type = CONTENT_TYPES[wish.format].encode()

    async def begin(self, served: Served) -> None:
        kind = [(b"content-type", self._content_type), (b"cache-control", b"no-store")]
        headers = [*kind, *served_headers(served, self._exchange)]
        if self._exchange.recording is not None:
            self._exchange.recording.begin(headers)
        await self._exchange.start(200, headers)

    async def write(self, data: bytes) -> None:
        if self._exchange.recording is not None:
            self._exchange.recording.add(data)
        await self._exchange.send(data)

    async def end(self) -> None:
        """The client sees the end when it is settled."""

    def settling(self, _spoken: Spoken, _served: Served) -> Beside | None:
        recording = self._exchange.recording
        return None if recording is None else recording.stream(b"")
