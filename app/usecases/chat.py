"""One chat call, from admission to its one ending: try routes until content flows, relay it, settle, then finish.

The caller's task runs it; a cancel of that task is a client that left, closes the provider's socket and is charged by
`ChatCall.bill_now`. Failures before content try the next route; after content they end the answer (compat.md S14).
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog
import trio

from app.core import tokens
from app.core.billing import Bill, Tally, cut_bill, finished_bill
from app.core.chat import ChatRequest, prompt_text_bytes
from app.core.deltas import Delta, Usage
from app.core.errors import Problem, UpstreamError
from app.core.identity import Principal
from app.core.limits import RateState
from app.core.pricing import MILLION, TokenPrice
from app.providers.breaker import Breakers
from app.providers.chat import ChatProvider, ChatReply
from app.usecases.meter import Ask, Call, Meter
from app.usecases.models import Models
from app.usecases.plan import STEP_TOKENS, ChatPlan, ask_for, plan_chat, unconfigured
from catalog.routing import Target

log = structlog.get_logger(__name__)
BACK_OFF_S: Final = (0.05, 0.25)
LONGEST_WAIT_S: Final = 2.0
EMPTY: Final = "The model's provider sent an empty answer. Nothing was charged; try again."
BUSY: Final = "Every provider of this model is resting after failures. Nothing was charged; try again."


@dataclass(slots=True)
class Served:
    """What a surface tells about a call; filled in as it becomes known, constant once the answer has begun."""

    id: str
    model: str
    created: int
    rate: RateState
    provider: str = ""
    attempts: int = 0
    dropped: tuple[str, ...] = ()


class ChatSink(Protocol):
    """Where an answer goes. All of it runs in the call's task; a sink that waits slows the provider down."""

    #: Whether anything reached the client: from then on model and status are fixed.
    opened: bool

    def admitted(self, served: Served, *, early: bool) -> None:
        """The hold stands. `early`: the answer may begin before a provider has accepted."""

    def accepted(self) -> None:
        """A provider has accepted: the answer may begin in any case."""

    async def write(self, deltas: Sequence[Delta]) -> None: ...

    async def finish(self, finishes: Mapping[int, str], usage: Usage) -> None:
        """The call is settled: send the end."""


@dataclass(frozen=True, slots=True)
class ChatServices:
    """What chat works with."""

    meter: Meter
    models: Models
    providers: Mapping[str, ChatProvider]
    breakers: Breakers
    secret: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call comes from, for its row and receipt."""

    request_id: str
    endpoint: str
    sdk_retries: int = 0


async def run_chat(
    services: ChatServices, principal: Principal, request: ChatRequest, sink: ChatSink, origin: Origin
) -> None:
    """Answer `request` into `sink` and settle it. Raises Problem, nothing having been charged then; StaleKey."""
    prompt = await _count_prompt(request)
    plan = plan_chat(services.models, services.providers, principal, request, prompt)
    salt = services.secret + principal.tenant_id
    if plan.targets:
        first = plan.targets[0]
        services.providers[first.provider].dialect.chat(ask_for(plan, request, first, salt))
    step = min(request.max_tokens or STEP_TOKENS, STEP_TOKENS) * request.n
    ask = Ask(
        endpoint=origin.endpoint,
        category="llm",
        model=plan.model.id,
        streamed=request.stream,
        hold_ucr=plan.hold_ucr(step),
        request_id=origin.request_id,
        limits=plan.limits,
    )
    async with services.meter.open_call(principal, ask) as call:
        chat = ChatCall(services, request, plan, call, sink, salt)
        call.on_cancel = chat.bill_now
        call.receipt.update(ignored=request.ignored, sdk_retries=origin.sdk_retries, prompt_estimate=prompt)
        await chat.run()


async def _count_prompt(request: ChatRequest) -> int:
    if prompt_text_bytes(request) <= tokens.LARGE_BYTES:
        return tokens.count_messages(request.messages, request.tools)
    return await trio.to_thread.run_sync(tokens.count_messages, request.messages, request.tools)


class _CreditsUsedUp(Exception):
    """The hold is used up and cannot grow (B11)."""


@dataclass(slots=True, eq=False)
class ChatCall:
    """The state of one admitted chat call."""

    services: ChatServices
    request: ChatRequest
    plan: ChatPlan
    call: Call
    sink: ChatSink
    salt: str
    served: Served = field(init=False)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    wrote: bool = False
    _target: Target | None = None
    _reply: ChatReply | None = None
    _tally: Tally = field(init=False)
    _began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.served = Served(self.call.id, self.plan.model.id, int(time.time()), self.call.rate)
        self._tally = Tally(self.plan.prices[self.plan.model.id], self.plan.prompt_tokens)

    async def run(self) -> None:
        """Try each route in order until one has answered. Raises Problem with the last failure, the call being void."""
        self.sink.admitted(self.served, early=not self.plan.several_models)
        last: UpstreamError | None = None
        skipped: str | None = None
        for target in self.plan.targets:
            if target.model.id == skipped or (self.sink.opened and target.model.id != self.served.model):
                continue
            failure = await self._try_route(target)
            if failure is None:
                return
            last = failure
            if self.wrote or (failure.retry == "no" and failure.code != "context_length_exceeded"):
                break
            skipped = target.model.id if failure.retry == "no" else None
        await self._give_up(last or unconfigured())

    def bill_now(self) -> Bill:
        """What a client that leaves at this moment owes (B2 to B5)."""
        reply = self._reply
        self._note(cancelled_at="upstream" if reply is None else "answer" if self.wrote else "first token")
        if reply is None:
            return Bill("cancelled", 0, "none", "B2")
        usage = reply.normaliser.usage
        if usage is not None and reply.normaliser.finished:
            return Bill("cancelled", self._price.cost_ucr(usage), "provider_usage", "B5")
        counted = 0 if usage is not None else tokens.count_text(self._tally.text())
        return self._cut("cancelled", usage, counted, reply)

    async def _try_route(self, target: Target) -> UpstreamError | None:
        """One route, with one retry where the failure allows it; None when it has answered."""
        breakers, key = self.services.breakers, (target.provider, target.upstream)
        failure: UpstreamError | None = None
        for again in (False, True):
            down = breakers.wait_s(*key, trio.current_time())
            if down:
                return failure or UpstreamError("provider_error", BUSY, retry="other", retry_after_s=down)
            try:
                await self._attempt(target, again)
            except UpstreamError as error:
                breakers.fail(*key, error, trio.current_time())
                self.attempts[-1] |= {"code": error.code, "status": error.status}
                log.warning(
                    "chat.attempt_failed",
                    **{"call": self.call.id, "provider": target.provider, "model": target.upstream},
                    **{"code": error.code, "status": error.status, "detail": error.detail},
                )
                failure = error
            except BaseException:
                breakers.leave(*key)
                raise
            else:
                breakers.succeed(*key)
                return None
            finally:
                self.attempts[-1]["ms"] = self._elapsed_ms() - self.attempts[-1]["ms"]
            if again or self.wrote or failure.retry != "once" or not breakers.may_retry(*key):
                return failure
            wait = failure.retry_after_s
            if wait is not None and wait > LONGEST_WAIT_S:
                return failure
            await trio.sleep(random.uniform(*BACK_OFF_S) if wait is None else wait)  # noqa: S311 - jitter
        return failure

    async def _attempt(self, target: Target, again: bool) -> None:
        provider = self.services.providers[target.provider]
        self.attempts.append({"provider": target.provider, "model": target.upstream, "ms": self._elapsed_ms()})
        self._target, self._reply = target, None
        self._tally = Tally(self.plan.prices[target.model.id], self.plan.prompt_tokens)
        ask = ask_for(self.plan, self.request, target, self.salt, patient=again)
        try:
            outgoing = provider.dialect.chat(ask)
        except Problem as problem:
            raise UpstreamError(problem.code, problem.message, retry="other", param=problem.param) from None
        served = self.served
        served.provider, served.attempts, served.dropped = target.provider, len(self.attempts), outgoing.dropped
        if not self.sink.opened:
            served.model = target.model.id
        self.services.breakers.begin(target.provider, target.upstream)
        try:
            async with provider.chat(outgoing, ask, self.request.n) as reply:
                self._reply = reply
                self.sink.accepted()
                await self._relay(reply)
        except _CreditsUsedUp:
            await self._end_early()

    async def _relay(self, reply: ChatReply) -> None:
        step = self._tally.price.tokens_ucr(0, STEP_TOKENS * self.request.n)
        ceiling = self._ceiling()
        while (deltas := await reply.read()) is not None:
            if not deltas:
                continue
            self._tally.add(deltas)
            cost = self._tally.running_cost_ucr(self.call.hold_ucr // 2)
            if not await self.call.cover(cost, step, ceiling):
                raise _CreditsUsedUp
            if not self.wrote:
                self._note(first_content_ms=self._elapsed_ms())
            self.wrote = True
            await self.sink.write(deltas)
        await self._finish(reply)

    async def _finish(self, reply: ChatReply) -> None:
        """The provider is done: settle, then let the client see the end (design.md invariant 5)."""
        normaliser = reply.normaliser
        usage = normaliser.usage
        finishes = normaliser.finishes
        if not normaliser.has_content and "length" not in finishes.values():
            raise UpstreamError("upstream_error", EMPTY, retry="once", breaker="count", detail="empty answer")
        counted = 0
        if usage is None:
            text = self._tally.text()
            if len(text) > tokens.LARGE_BYTES:
                counted = await trio.to_thread.run_sync(tokens.count_text, text)
            else:
                counted = tokens.count_text(text)
        bill = finished_bill(usage, self._price, self.plan.prompt_tokens, counted)
        if self._router_picked and not self.request.stream and normaliser.upstream_model:
            self.served.model = normaliser.upstream_model
        await self._post(bill, usage)
        await self.sink.finish(finishes, usage or Usage(self.plan.prompt_tokens, counted))

    async def _end_early(self) -> None:
        """No more credits can be held: the answer ends with `length`, charged up to the hold (B11)."""
        reply = self._reply
        assert reply is not None
        counted = tokens.count_text(self._tally.text())
        bill = self._cut("completed", reply.normaliser.usage, counted, reply)
        bill = Bill(bill.outcome, min(bill.cost_ucr, self.call.hold_ucr), bill.basis, bill.rule)
        await self._post(bill, reply.normaliser.usage)
        finishes = dict.fromkeys(range(self.request.n), "length")
        await self.sink.finish(finishes, reply.normaliser.usage or Usage(self.plan.prompt_tokens, counted))

    async def _give_up(self, failure: UpstreamError) -> None:
        self._note(failure=failure.code)
        await self.call.void("failed", "B7" if failure.message is EMPTY else "B6")
        raise failure.problem()

    async def _post(self, bill: Bill, usage: Usage | None) -> None:
        self._note(usage=usage, finish_reasons=self._reply and dict(self._reply.normaliser.finishes))
        await self.call.post(bill)

    def _cut(self, outcome: Any, usage: Usage | None, counted: int, reply: ChatReply) -> Bill:
        return cut_bill(outcome, usage, self._price, self.plan.prompt_tokens, counted, reply.cancel_semantics)

    def _ceiling(self) -> int | None:
        limit = self.request.max_tokens
        if limit is None:
            return None
        return self._tally.price.tokens_ucr(self.plan.prompt_tokens, limit * self.request.n)

    @property
    def _router_picked(self) -> bool:
        return self._target is not None and self._target.upstream.startswith("openrouter/")

    @property
    def _price(self) -> TokenPrice:
        """The price in force: the model's, or for a by-pick model its pick's, or what the pick cost us."""
        target, price = self._target, self._tally.price
        if target is None or target.model.price.unit != "by_pick" or self._reply is None:
            return price
        models, normaliser = self.services.models, self._reply.normaliser
        picked = models.catalog.resolve(normaliser.upstream_model or "")
        if picked is not None and picked.model.price.unit == "tokens":
            return models.token_price(picked.model.price, web=self.request.searches_web)
        if normaliser.cost is not None:
            return TokenPrice(0, 0, price.credits_per_usd, flat_musd=-int(-normaliser.cost * MILLION // 1))
        return price

    def _note(self, **facts: Any) -> None:
        """Facts for the receipt."""
        price = self._tally.price
        self.call.receipt.update(
            facts,
            attempts=self.attempts,
            model=self.served.model,
            dropped=self.served.dropped,
            total_ms=self._elapsed_ms(),
            prices={"input_musd": price.input_musd, "output_musd": price.output_musd},
        )

    def _elapsed_ms(self) -> int:
        return int((time.perf_counter() - self._began) * 1000)
