"""Speech to text: an upload to its transcript, billed by the provider's seconds, else by those measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from app.core.billing import Bill
from app.core.errors import Problem, UpstreamError
from app.core.identity import Principal
from app.core.ledger import Basis
from app.core.pricing import UnitPrice
from app.core.recordings import Recording
from app.core.transcription import Transcript, TranscriptionRequest
from app.core.wave import PCM, Wave, quietest
from app.observability.facts import CallFacts
from app.providers.chat import ChatProvider
from app.providers.dialect import ChatAsk, unsupported
from app.providers.fetch import fetch
from app.providers.transcription import Clip, check_envelope, of_recording, read_answer, transcriber
from app.usecases.routed import Done, Order, Progress, RoutedServices, WhatElse, run_routed
from app.usecases.routed_plan import RoutedPlan, plan_routed
from app.usecases.upload import Upload
from catalog.models import Model
from catalog.routing import Target

#: Where a long recording is cut, a pause is looked for in so much of its sound.
WINDOW_BYTES: Final = 256 * 1024
WINDOW_S: Final = 2
#: An upload goes out at this rate at least, and is understood this much faster than it was spoken.
UPLOAD_BYTES_PER_S: Final = 1024 * 1024
SPEED: Final = 10


@dataclass(frozen=True, slots=True)
class AudioServices:
    """What speech works with, in both directions."""

    routed: RoutedServices
    providers: Mapping[str, ChatProvider]


@dataclass(frozen=True, slots=True)
class Understood:
    """The transcript and how long the recording is, as it was billed."""

    transcript: Transcript
    length_ms: int
    bill: Bill


def plan_transcription(services: AudioServices, principal: Principal, wish: TranscriptionRequest) -> RoutedPlan:
    """Which model and routes; before the upload is looked at. Raises Problem."""
    models = services.routed.models
    name = wish.model or models.catalog.rates.default_stt_model
    plan = plan_routed(models, principal, "stt", name, available=services.providers.__contains__)
    modes = plan.model.details.get("modes", ())
    if isinstance(modes, tuple) and wish.mode not in modes:
        problem = unsupported("mode")
        problem.message = f"The model `{plan.model.id}` does not {wish.mode}. It can: {', '.join(modes)}."
        raise problem
    return plan


async def run_transcription(
    services: AudioServices,
    principal: Principal,
    plan: RoutedPlan,
    wish: TranscriptionRequest,
    upload: Upload,
    facts: CallFacts,
    reply: WhatElse[Understood],
) -> Done[Understood]:
    """Understand `upload` and charge it; what `reply` gives is written with the charge.

    Raises Problem, nothing having been charged then; StaleKey.
    """
    recording = await upload.measure()
    clips = await cut(upload, recording, plan.model)
    for target in plan.targets[:1]:
        headers = services.providers[target.provider].dialect.headers
        transcriber(target.provider, target.upstream).ask(target.upstream, wish, clips[0], headers)
    call = _Transcription(services, plan, wish, recording, clips)
    price = plan.unit_price(plan.model)
    words = (wish.prompt,) if wish.prompt else ()
    order = Order(price.cost_ucr(recording.length_ms), facts, words, wish.ignored)
    return await run_routed(services.routed, principal, plan, order, call.attempt, attrgetter("bill"), reply)


class _Transcription:
    """The attempts of one call. What a route has understood of a recording sent in parts is not asked for again."""

    def __init__(
        self,
        services: AudioServices,
        plan: RoutedPlan,
        wish: TranscriptionRequest,
        recording: Recording,
        clips: Sequence[Clip],
    ) -> None:
        self._providers = services.providers
        self._plan = plan
        self._wish = wish
        self._recording = recording
        self._clips = clips
        self._parts: dict[Target, list[Transcript]] = {}

    async def attempt(self, target: Target, progress: Progress) -> Understood:
        """All clips in order at one route."""
        price = self._plan.unit_price(target.model)
        parts = self._parts.setdefault(target, [])
        waited_s = 0.0

        def accepted() -> None:
            sent_ms = self._recording.length_ms * (len(parts) + 1) // len(self._clips)
            progress.owes(Bill("cancelled", price.cost_ucr(sent_ms), "usage_snapshot", "B4"))

        def waited(seconds: float) -> None:
            nonlocal waited_s
            waited_s += seconds
            progress.waited(waited_s)

        for clip in self._clips[len(parts) :]:
            parts.append(await self._ask(target, clip, progress, accepted, waited))
        transcript = parts[0] if len(parts) == 1 else joined(parts)
        length_ms, bill = settled(transcript, self._recording, price)
        progress.measured(seconds=length_ms / 1000)
        return Understood(transcript, length_ms, bill)

    async def _ask(
        self,
        target: Target,
        clip: Clip,
        progress: Progress,
        accepted: Callable[[], None],
        waited: Callable[[float], None],
    ) -> Transcript:
        provider = self._providers[target.provider]
        way = transcriber(target.provider, target.upstream)
        try:
            question = way.ask(target.upstream, self._wish, clip, provider.dialect.headers)
        except Problem as problem:
            raise UpstreamError(problem.code, problem.message, retry="other", param=problem.param) from None
        progress.served.dropped = question.dropped
        patience_s = provider.first_byte_s + clip.size / UPLOAD_BYTES_PER_S + self._recording.length_ms / 1000 / SPEED
        reply = await fetch(provider.upstream, question, first_byte_s=patience_s, accepted=accepted, waited=waited)
        ask = ChatAsk(target.upstream, {}, "")
        if not reply.good:
            raise of_recording(provider.dialect.refusal(reply.status, reply.headers, reply.body, target.upstream, ask))
        check_envelope(reply.body, provider.dialect, ask)
        return read_answer(reply.body, way.read)


def settled(transcript: Transcript, recording: Recording, price: UnitPrice) -> tuple[int, Bill]:
    """How long the recording is, and what that costs: the provider's figure, an explicit 0 included, else ours.

    Nothing understood is nothing charged (B7).
    """
    measured_ms = max(recording.length_ms, transcript.spoken_ms or 0)
    length_ms = measured_ms if transcript.length_ms is None else transcript.length_ms
    if not transcript.text.strip():
        return length_ms, Bill("completed", 0, "none", "B7")
    basis: Basis = "tokenizer_estimate" if transcript.length_ms is None else "provider_usage"
    return length_ms, Bill("completed", price.cost_ucr(length_ms), basis, "B17")


def joined(parts: Sequence[Transcript]) -> Transcript:
    """One transcript of a recording that was sent in parts, which know nothing of times."""
    text = " ".join(part.text.strip() for part in parts if part.text.strip())
    return Transcript(text, next((part.language for part in parts if part.language), None))


async def cut(upload: Upload, recording: Recording, model: Model) -> list[Clip]:
    """The whole recording, or the parts that a model with a limit on one call takes: cut in pauses.

    Raises Problem 400 for a long recording that cannot be cut.
    """
    limit_s = model.details.get("max_call_seconds")
    if not isinstance(limit_s, int) or recording.length_ms < limit_s * 1000:
        return [Clip(recording, upload, upload.size)]
    wave = recording.wave
    if wave is None or wave.codec != PCM:
        raise Problem(
            "invalid_request_error",
            f"`{model.id}` takes less than {limit_s} seconds at once. Send WAV (PCM), which is cut here, or less.",
            "file",
        )
    return [
        Clip(recording, upload, stop - start, start, wave.header(stop - start))
        for start, stop in await _cuts(upload, wave, limit_s - 1)
    ]


async def _cuts(upload: Upload, wave: Wave, longest_s: int) -> list[tuple[int, int]]:
    """Where each part begins and ends in the file."""
    longest = longest_s * wave.rate * wave.block
    window = min(WINDOW_S * wave.rate * wave.block, WINDOW_BYTES) // wave.block * wave.block
    cuts, start, end = [], wave.start, wave.start + wave.size
    while end - start > longest:
        at = start + longest - window
        stop = at + quietest(await upload.read(at, window), wave)
        stop = stop if stop > start else start + longest
        cuts.append((start, stop))
        start = stop
    return [*cuts, (start, end)]
