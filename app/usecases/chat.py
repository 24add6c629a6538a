"""One chat call, from admission to its one ending: try routes until content flows, relay it, settle, then finish.

The caller's task runs it; a cancel of that task is a client that left, closes the provider's socket and is charged by
`ChatCall.bill_now`. Failures before content try the next route; after content they end the answer (compat.md S14).
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any, Final

import trio

from app.core import tokens
from app.core.billing import Bill, Tally, cut_bill, finished_bill
from app.core.chat import ChatRequest
from app.core.deltas import Delta, Usage
from app.core.errors import Problem, UpstreamError
from app.core.identity import Principal
from app.core.ledger import Outcome
from app.core.pricing import TokenPrice
from app.observability.facts import CallFacts
from app.providers.chat import ChatReply
from app.providers.deadlines import ReaderLate
from app.usecases.chat_services import ChatServices
from app.usecases.counting import count_output, count_prompt
from app.usecases.journal import Journal, log_failure
from app.usecases.meter import Call
from app.usecases.plan import STEP_TOKENS, ChatPlan, plan_chat, price_in_force, question_for, unconfigured
from app.usecases.sink import ChatSink, Served
from catalog.routing import Target

#: Short, so that a provider that refuses at once is answered for with a real status within the first-byte grace.
BACK_OFF_S: Final = (0.01, 0.04)
LONGEST_WAIT_S: Final = 2.0
#: After this long no further route is begun, so that a call ends well within the life of its hold.
TRY_FOR_S: Final = 300.0
EMPTY: Final = "The model's provider sent an empty answer. Nothing was charged; try again."
READ_TOO_SLOWLY: Final = "The answer was read too slowly and was ended. What was generated until then was charged."
BUSY: Final = "Every provider of this model is resting after failures. Nothing was charged; try again."


async def run_chat(
    services: ChatServices,
    principal: Principal,
    request: ChatRequest,
    sink: ChatSink,
    facts: CallFacts,
) -> None:
    """Answer `request` into `sink` and settle it. Raises Problem, nothing having been charged then; StaleKey."""
    prompt = await count_prompt(request)
    salt = services.secret + principal.tenant_id
    plan = plan_chat(services.models, services.providers, principal, request, prompt, salt)
    async with services.meter.open_call(principal, plan.ask(request, facts)) as call:
        chat = ChatCall(services, request, plan, call, sink, facts)
        call.on_cancel, call.on_end = chat.free_now if facts.free_when_left else chat.bill_now, chat.report
        call.receipt.update(ignored=request.ignored, sdk_retries=facts.sdk_retries, prompt_estimate=prompt)
        await chat.run()


class _CreditsUsedUp(Exception):
    """The hold is used up and cannot grow (B11)."""


class ChatCall:
    """The state of one admitted chat call."""

    def __init__(
        self,
        services: ChatServices,
        request: ChatRequest,
        plan: ChatPlan,
        call: Call,
        sink: ChatSink,
        facts: CallFacts,
    ) -> None:
        self._services = services
        self._request = request
        self._plan = plan
        self._call = call
        self._sink = sink
        self._served = Served(
            call.id, plan.model.id, int(time.time()), call.allowance, prompt_tokens=plan.prompt_tokens
        )
        self._journal = Journal(call, facts)
        self._tally = Tally(plan.prices[plan.model.id], plan.prompt_tokens)
        self._target: Target | None = None
        self._reply: ChatReply | None = None
        self._has_content = False

    async def run(self) -> None:
        """Try each route in order until one has answered. Raises Problem with the last failure, the call being void."""
        self._sink.admitted(self._served, early=not self._plan.several_models)
        last: UpstreamError | None = None
        skipped: str | None = None
        for target in self._plan.targets:
            if last is not None and self._journal.elapsed_ms() > TRY_FOR_S * 1000:
                break
            if target.model.id == skipped or (self._sink.opened and target.model.id != self._served.model):
                continue
            failure = await self._try_route(target)
            if failure is None:
                return
            last = failure
            if self._committed or (failure.retry == "no" and failure.code != "context_length_exceeded"):
                break
            skipped = target.model.id if failure.retry == "no" else None
        await self._give_up(last or unconfigured())

    def bill_now(self) -> Bill:
        """What a client that leaves at this moment owes (B2, B3, B4; B10 once finish and usage are known)."""
        reply = self._reply
        phase = "before acceptance" if reply is None else "mid-answer" if self._has_content else "before first token"
        if reply is None:
            self._close_journal(cancelled_at=phase)
            return Bill("cancelled", 0, "none", "B2")
        usage = reply.normaliser.usage
        counted = 0 if usage is not None else tokens.count_text(self._tally.text())
        self._close_journal(cancelled_at=phase, usage=usage or Usage(self._plan.prompt_tokens, counted))
        if usage is not None and reply.normaliser.finished:
            return Bill("cancelled", self._price.cost_ucr(usage), "provider_usage", "B10")
        return self._cut("cancelled", usage, counted, reply)

    def free_now(self) -> Bill:
        """The end of a call that was given up before anybody saw anything of it (channels.md section 4.5)."""
        self.bill_now()
        return Bill("cancelled", 0, "none", "B2")

    def report(self) -> None:
        """Tell the observer how the call was, now that it is over."""
        model = self._plan.model if self._target is None else self._target.model
        answered_by = self._reply and self._reply.normaliser.upstream_model
        facts = self._journal.closed_facts(self._services.models.label(model.id), answered_by or "")
        self._services.observer.call_ended(facts)

    @property
    def _committed(self) -> bool:
        """Content has reached the client: no other route may begin anew (compat.md S14)."""
        return self._has_content and not self._sink.holds_back

    async def _try_route(self, target: Target) -> UpstreamError | None:
        """One route, with one retry where the failure allows it; None when it has answered."""
        breakers, key = self._services.breakers, (target.provider, target.upstream)
        failure: UpstreamError | None = None
        for again in (False, True):
            down = breakers.wait_s(*key, trio.current_time())
            if down:
                return failure or UpstreamError("provider_error", BUSY, retry="other", retry_after_s=down)
            try:
                await self._attempt(target, again)
            except UpstreamError as error:
                if self._call.ending is not None:
                    breakers.succeed(*key)
                    return None
                failure = error
                self._reply = None  # a client that leaves before the next attempt owes nothing for this one (B6)
                breakers.fail(*key, error, trio.current_time())
                self._journal.end_attempt(error)
                log_failure(self._call.id, self._request, target, error)
            except BaseException as error:
                breakers.leave(*key)
                self._journal.broke_off(error)
                raise
            else:
                breakers.succeed(*key)
                return None
            wait = failure.retry_after_s
            if again or self._committed or failure.retry != "once" or (wait is not None and wait > LONGEST_WAIT_S):
                return failure
            if not breakers.may_retry(*key):
                return failure
            wait = random.uniform(*BACK_OFF_S) if wait is None else wait  # noqa: S311 - jitter
            await trio.sleep(self._journal.pause(wait))
        return failure

    async def _attempt(self, target: Target, again: bool) -> None:
        provider = self._services.providers[target.provider]
        self._target, self._reply, self._has_content = target, None, False
        self._tally = Tally(self._plan.prices[target.model.id], self._plan.prompt_tokens)
        self._journal.begin_attempt(target, self._tally.price)
        first = self._plan.first if target is self._plan.targets[0] and not again else None
        ask, outgoing = first or question_for(self._plan, self._request, target, provider, patient=again)
        served = self._served
        served.provider, served.attempts = target.provider, len(self._journal.attempts)
        served.dropped = outgoing.dropped
        if not self._sink.opened:
            served.model = target.model.id
        self._services.breakers.begin(target.provider, target.upstream)
        try:
            await self._ask(provider.chat(outgoing, ask, self._request.n))
        except _CreditsUsedUp:
            await self._end_early()
        except ReaderLate:  # as good as gone: a slow reader must not make an answer free
            await self._call.post(self.bill_now())
            raise Problem("invalid_request_error", READ_TOO_SLOWLY) from None

    async def _ask(self, question: ChatReply) -> None:
        """Ask and relay the answer; then, or on any failure, the connection is given back or closed."""
        try:
            async with question as reply:
                self._reply = reply
                self._sink.accepted()
                await self._relay(reply)
        finally:
            self._journal.disconnected(question.waited_s)

    async def _relay(self, reply: ChatReply) -> None:
        step = self._tally.price.tokens_ucr(0, STEP_TOKENS * self._request.n)
        ceiling = self._ceiling()
        while (deltas := await reply.read()) is not None:
            if not deltas:
                continue
            mark = self._tally.mark()
            self._tally.add(deltas)
            cost = self._tally.running_cost_ucr(self._call.hold_ucr // 2)
            if await self._call.cover(cost, step, ceiling):
                await self._write(deltas)
            else:
                await self._write(self._tally.add_what_fits(mark, deltas, self._call.hold_ucr))
                raise _CreditsUsedUp
        await self._finish(reply)

    async def _write(self, deltas: list[Delta]) -> None:
        if not self._has_content:
            self._has_content = True
            self._journal.content_came()
            if self._target is not None:
                self._services.breakers.leave(self._target.provider, self._target.upstream)
        await self._sink.write(deltas)

    async def _finish(self, reply: ChatReply) -> None:
        """The provider is done: settle, then let the client see the end (design.md invariant 5)."""
        normaliser = reply.normaliser
        usage = normaliser.usage
        if not normaliser.has_content and "length" not in normaliser.finishes.values():
            raise UpstreamError("upstream_error", EMPTY, retry="once", breaker="count", detail="empty answer")
        counted = 0 if usage is not None else await count_output(self._tally.text())
        short = reply.unmarked or "length" in normaliser.finishes.values()
        bill = finished_bill(usage, self._price, self._plan.prompt_tokens, counted, short=short)
        if self._router_picked and not self._request.stream and normaliser.upstream_model:
            self._served.model = normaliser.upstream_model
        await self._post(bill, usage, normaliser.finishes, counted)

    async def _end_early(self) -> None:
        """No more credits can be held: the answer ends with `length`, charged up to the hold (B11)."""
        reply = self._reply
        if reply is None:
            raise RuntimeError("credits cannot be used up before an answer")
        usage = reply.normaliser.usage
        counted = await count_output(self._tally.text())
        bill = self._cut("completed", usage, counted, reply)
        capped = Bill(bill.outcome, min(bill.cost_ucr, self._call.hold_ucr), bill.basis, bill.rule)
        await self._post(capped, usage, dict.fromkeys(range(self._request.n), "length"), counted)

    async def _post(self, bill: Bill, usage: Usage | None, finishes: Mapping[int, str], counted: int) -> None:
        """Settle, then send the end."""
        usage = usage or Usage(self._plan.prompt_tokens, counted)
        self._journal.answered()
        self._close_journal(usage=usage, finish_reasons=dict(finishes))
        await self._call.post(bill, await self._sink.settling(finishes, usage))
        await self._sink.finish(finishes, usage)

    async def _give_up(self, failure: UpstreamError) -> None:
        self._close_journal(failure=failure.code)
        await self._call.void("failed", "B7" if failure.message is EMPTY else "B6")
        problem = failure.problem()
        problem.headers |= {"X-Generation-Id": self._call.id, "X-CM-Attempts": str(len(self._journal.attempts))}
        raise problem

    def _cut(self, outcome: Outcome, usage: Usage | None, counted: int, reply: ChatReply) -> Bill:
        return cut_bill(outcome, usage, self._price, self._plan.prompt_tokens, counted, reply.cancel_semantics)

    def _ceiling(self) -> int | None:
        limit = self._request.max_tokens
        if limit is None:
            return None
        return self._tally.price.tokens_ucr(self._plan.prompt_tokens, limit * self._request.n)

    @property
    def _router_picked(self) -> bool:
        return self._target is not None and self._target.upstream.startswith("openrouter/")

    @property
    def _price(self) -> TokenPrice:
        if self._target is None or self._reply is None:
            return self._tally.price
        models, normaliser = self._services.models, self._reply.normaliser
        return price_in_force(models, self._request, self._target, normaliser, self._tally.price)

    def _close_journal(self, **facts: Any) -> None:
        self._journal.close(**facts, model=self._served.model, dropped=self._served.dropped)
