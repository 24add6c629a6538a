"""Text to speech: sound is relayed while it is made, billed by the characters of the text.

A provider takes the text whole and bills it whole, so a client that leaves after that pays for it (B4): what was sent
to the provider is what was bought, however much sound has come by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Protocol

from app.core.base64_field import LEAD_BYTES, Base64Field
from app.core.billing import Bill
from app.core.errors import Problem, UpstreamError
from app.core.identity import Principal
from app.core.speech import SpeechRequest, known_voice, split_text
from app.core.wave import WaveJoiner
from app.observability.facts import CallFacts
from app.providers.dialect import TIRED, ChatAsk, Dialect, Outgoing, unsupported
from app.providers.openai_compatible import decoded
from app.providers.speech import JOINABLE, SarvamSpeaker, speaker
from app.providers.upstream import Reply
from app.usecases.routed import Done, Order, Progress, run_routed
from app.usecases.routed_plan import RoutedPlan, plan_routed
from app.usecases.settling import Beside
from app.usecases.sink import Served
from app.usecases.transcribe import AudioServices
from catalog.models import Model
from catalog.routing import Target

EMPTY: Final = "The model's provider sent no sound. Nothing was charged; try again."


class SpeechSink(Protocol):
    """Where the sound goes. A sink that waits slows the provider down."""

    async def begin(self, served: Served) -> None:
        """A provider's first sound is here."""

    async def write(self, data: bytes) -> None: ...

    async def end(self) -> None:
        """All of it is out, and not charged yet. What is raised here makes it free."""

    def settling(self, spoken: Spoken, served: Served) -> Beside | None:
        """It is about to be settled: what to write in the same transaction, if anything."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The sound is out; this is what it costs."""

    bill: Bill


async def run_speech(
    services: AudioServices, principal: Principal, wish: SpeechRequest, sink: SpeechSink, facts: CallFacts
) -> Done[Spoken]:
    """Say `wish` into `sink` and charge it; the end is to be sent after that.

    Raises Problem, nothing having been charged then; also when the sound broke off. StaleKey.
    """
    models = services.routed.models
    name = wish.model or models.catalog.rates.default_tts_model
    plan = plan_routed(models, principal, "tts", name, available=services.providers.__contains__)
    formats = plan.model.details.get("formats")
    if isinstance(formats, tuple) and wish.format not in formats:
        problem = unsupported("response_format")
        problem.message = f"The model `{plan.model.id}` makes {', '.join(formats)}. Ask for one of these."
        raise problem
    call = _Speech(services, plan, wish, sink)
    for target in plan.targets[:1]:
        call.questions(target)
    price = plan.unit_price(plan.model)
    order = Order(price.cost_ucr(wish.characters), facts, (wish.input,), wish.ignored)
    return await run_routed(services.routed, principal, plan, order, call.attempt, attrgetter("bill"), sink.settling)


class _Speech:
    """The attempts of one call."""

    def __init__(self, services: AudioServices, plan: RoutedPlan, wish: SpeechRequest, sink: SpeechSink) -> None:
        self._providers = services.providers
        self._plan = plan
        self._wish = wish
        self._sink = sink

    def questions(self, target: Target) -> list[tuple[int, Outgoing]]:
        """What to ask, in order, with the characters sent by then. Raises Problem for what this route cannot do."""
        wish, way = self._wish, speaker(target.provider, target.upstream)
        longest = way.longest(wish.format) or len(wish.input)
        pieces = split_text(wish.input, longest)
        if len(pieces) > 1 and wish.format not in JOINABLE:
            message = f"This model makes {wish.format} of at most {longest} characters. Send less, or ask for mp3."
            raise Problem("invalid_request_error", message, "input")
        voice, headers = _voice(wish, target.model), self._providers[target.provider].dialect.headers
        asked, sent = [], 0
        for piece in pieces:
            sent += len(piece)
            if piece.strip():
                asked.append((sent, way.ask(target.upstream, wish, voice, piece, headers)))
        return asked

    async def attempt(self, target: Target, progress: Progress) -> Spoken:
        """Ask for each piece of the text and relay its sound as it comes."""
        price = self._plan.unit_price(target.model)
        try:
            questions = self.questions(target)
        except Problem as problem:
            raise UpstreamError(problem.code, problem.message, retry="other", param=problem.param) from None
        progress.served.dropped = questions[0][1].dropped
        joiner = WaveJoiner() if len(questions) > 1 and self._wish.format == "wav" else None
        waited_s = 0.0
        for sent, question in questions:
            if joiner is not None:
                joiner.begin()
            owed = Bill("cancelled", price.cost_ucr(sent), "usage_snapshot", "B4")
            waited_s = await self._relay(
                target, question, progress, owed, joiner.feed if joiner else _as_it_is, waited_s
            )
        if not progress.committed:
            raise UpstreamError("upstream_error", EMPTY, retry="once", breaker="count", detail="no sound")
        await self._sink.end()
        characters = self._wish.characters
        progress.measured(characters=characters)
        return Spoken(Bill("completed", price.cost_ucr(characters), "provider_usage", "B17"))

    async def _relay(
        self,
        target: Target,
        question: Outgoing,
        progress: Progress,
        owed: Bill,
        treat: Callable[[bytes], bytes],
        waited_s: float,
    ) -> float:
        """One question and its sound; how long the provider has been waited for by now."""
        provider = self._providers[target.provider]
        request = provider.upstream.request(
            b"POST", question.path, question.headers, question.body, provider.first_byte_s
        )
        try:
            async with request as reply:
                if not 200 <= reply.status < 300:
                    raise _refusal(provider.dialect, reply.status, reply.headers, await reply.read(), target)
                progress.owes(owed)
                await self._sound(reply, provider.dialect, target, progress, treat)
        finally:
            progress.waited(waited_s + request.waited_s)
        return waited_s + request.waited_s

    async def _sound(
        self, reply: Reply, dialect: Dialect, target: Target, progress: Progress, treat: Callable[[bytes], bytes]
    ) -> None:
        field = Base64Field() if "json" in reply.headers.get("content-type", "") else None
        while data := await reply.receive():
            reply.fed()
            try:
                sound = treat(data if field is None else field.feed(data))
            except ValueError as error:
                raise _broken(f"no sound: {error}") from None
            if sound:
                if not progress.committed:
                    progress.commit()
                    await self._sink.begin(progress.served)
                await self._sink.write(sound)
            elif field is not None and not field.began and len(field.lead) > LEAD_BYTES:
                break
        reply.over()
        if field is not None and not field.ended:
            if not field.began:
                raise _told(dialect, field.lead, target)
            raise _broken("the sound ended early")


def _voice(wish: SpeechRequest, model: Model) -> str:
    voices, default = model.details["voices"], model.details["default_voice"]
    return known_voice(wish.voice, voices if isinstance(voices, tuple) else (), str(default))


def _refusal(dialect: Dialect, status: int, headers: Mapping[str, str], body: bytes, target: Target) -> UpstreamError:
    """The dialect's verdict; where only the name of the language's field was refused the other one is tried."""
    error = dialect.refusal(status, headers, body, target.upstream, ChatAsk(target.upstream, {}, ""))
    way = speaker(target.provider, target.upstream)
    if isinstance(way, SarvamSpeaker) and status in (400, 422) and way.language_field.encode() in body:
        way.other_field()
        error.retry = "once"
    return error


def _told(dialect: Dialect, body: bytes, target: Target) -> UpstreamError:
    """A 200 without sound: an error in the dialect's words, or nothing at all."""
    found = decoded(body)
    if isinstance(found, dict) and (found.get("success") is False or "error" in found):
        error = found.get("error")
        return dialect.fault(error if isinstance(error, dict) else found, ChatAsk(target.upstream, {}, ""))
    return _broken("JSON without sound")


def _as_it_is(data: bytes) -> bytes:
    return data


def _broken(detail: str) -> UpstreamError:
    return UpstreamError("upstream_error", TIRED, retry="once", breaker="count", detail=detail)
