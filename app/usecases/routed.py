"""One call of another kind than chat, from admission to its one ending: speech, images, embeddings, search.

    plan = plan_routed(services.models, principal, "image", name, available=providers.__contains__)
    order = Order(hold_ucr=plan.unit_price(plan.model).cost_ucr(n), facts=facts, words=(prompt,))
    done = await run_routed(services, principal, plan, order, attempt, bill)

`attempt(target, progress)` asks one route and returns what it brought, or raises UpstreamError; it is run again for the
same route or the next as the error allows. `bill(answer)` says what a good answer costs. The charge is kept before
`run_routed` returns, so what it returns can be sent. The caller's task runs it all: cancelling that task is a client
that left, and costs what the attempt had said with `progress.owes` by then, or nothing as `facts` may say.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import structlog
import trio

from app.core.billing import Bill
from app.core.deltas import Usage
from app.core.echo import without_echo
from app.core.errors import Problem, UpstreamError
from app.core.identity import Principal
from app.observability.facts import CallFacts
from app.observability.observer import Observer
from app.providers.breaker import Breakers
from app.providers.deadlines import ReaderLate
from app.storage.ledger import Ending
from app.usecases.journal import Journal
from app.usecases.meter import Ask, Call, Meter
from app.usecases.models import Models
from app.usecases.plan import unconfigured
from app.usecases.routed_plan import RoutedPlan
from app.usecases.settling import Beside
from app.usecases.sink import Served
from catalog.routing import Target

log = structlog.get_logger(__name__)
T = TypeVar("T")
#: Before a route is asked for the second time.
BACK_OFF_S: Final = (0.01, 0.04)
LONGEST_WAIT_S: Final = 2.0
#: After this long no further attempt is begun, unless the order says otherwise.
TRY_FOR_S: Final = 300.0
LEFT_EARLY: Final = Bill("cancelled", 0, "none", "B2")
WAITING: Final = "before first token"
RESTING: Final = "Every provider of this model is resting after failures. Nothing was charged; try again."
READ_TOO_SLOWLY: Final = "The answer was read too slowly and was ended. What was made until then was charged."


@dataclass(frozen=True, slots=True)
class RoutedServices:
    """What such calls work with."""

    meter: Meter
    models: Models
    breakers: Breakers
    observer: Observer


@dataclass(frozen=True, slots=True)
class Order:
    """What one call wants. `hold_ucr` is its known cost, or the largest it can be.

    `words` are the client's own texts: an upstream that quotes them in an error is not quoted in our log.
    """

    hold_ucr: int
    facts: CallFacts
    words: Sequence[str] = ()
    ignored: tuple[str, ...] = ()
    try_for_s: float = TRY_FOR_S


@dataclass(slots=True)
class Progress:
    """How an attempt tells what a client that leaves now would owe, and what belongs on the receipt.

    Everything but `served` begins anew with each attempt.
    """

    #: What the surface tells about the call: id, provider, attempts, what is left of the limits.
    served: Served
    _journal: Journal
    owed: Bill = LEFT_EARLY
    committed: bool = False
    receipt: dict[str, Any] = field(default_factory=dict)

    def owes(self, bill: Bill) -> None:
        """From now on a client that leaves pays `bill`: call it once the provider has accepted, and as more comes."""
        self.owed = bill

    def commit(self) -> None:
        """The first piece of the answer is about to reach the client: no route is tried after this one."""
        if not self.committed:
            self.committed = True
            self._journal.content_came()

    def waited(self, seconds: float) -> None:
        """The connection is closed or given back; so long the provider was waited for. Call it however it ended."""
        self._journal.disconnected(seconds)

    def measured(self, usage: Usage | None = None, **units: float) -> None:
        """What was used, in tokens or in units such as `images=2`, for the receipt and for monitoring."""
        if usage is not None:
            self.receipt["usage"] = usage
        if units:
            self.receipt["units"] = units


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A good answer whose charge is kept."""

    answer: T
    served: Served
    ending: Ending


Attempt = Callable[[Target, Progress], Awaitable[T]]
#: What is written in the transaction that charges a good answer, if anything.
WhatElse = Callable[[T, Served], Beside | None]


async def run_routed(
    services: RoutedServices,
    principal: Principal,
    plan: RoutedPlan,
    order: Order,
    attempt: Attempt[T],
    bill: Callable[[T], Bill],
    beside: WhatElse[T] | None = None,
) -> Done[T]:
    """Admit the call, try its routes, settle. Raises Problem, nothing being charged then; StaleKey.

    `beside` gives what is written in the transaction that charges a good answer.
    """
    facts = order.facts
    ask = Ask(
        endpoint=facts.endpoint,
        category=plan.model.category,
        model=plan.model.id,
        streamed=facts.streamed,
        hold_ucr=order.hold_ucr,
        request_id=facts.request_id,
        limits=plan.limits,
        id_prefix=facts.id_prefix,
        marks=facts.marks,
    )
    async with services.meter.open_call(principal, ask) as call:
        routed = _RoutedCall(services, plan, order, call, attempt, bill, beside)
        call.on_cancel, call.on_end = routed.bill_now, routed.report
        call.receipt.update(ignored=order.ignored, sdk_retries=facts.sdk_retries)
        return await routed.run()


class _RoutedCall(Generic[T]):
    """The state of one admitted call."""

    def __init__(
        self,
        services: RoutedServices,
        plan: RoutedPlan,
        order: Order,
        call: Call,
        attempt: Attempt[T],
        bill: Callable[[T], Bill],
        beside: WhatElse[T] | None,
    ) -> None:
        self._services = services
        self._plan = plan
        self._order = order
        self._call = call
        self._attempt = attempt
        self._bill = bill
        self._beside = beside
        self._journal = Journal(call, order.facts)
        self._served = Served(call.id, plan.model.id, int(time.time()), call.allowance)
        self._progress = Progress(self._served, self._journal)

    async def run(self) -> Done[T]:
        failures: list[UpstreamError] = []
        for target in self._plan.targets:
            if failures and self._journal.elapsed_ms() > self._order.try_for_s * 1000:
                break
            outcome = await self._try_route(target)
            if isinstance(outcome, Done):
                return outcome
            failures.append(outcome)
            if self._progress.committed or outcome.retry == "no":
                break
        raise await self._given_up(failures)

    def bill_now(self) -> Bill:
        """What a client that leaves at this moment owes (B2, B3, B4)."""
        owed = self._progress.owed
        phase = "before acceptance" if owed is LEFT_EARLY else "mid-answer" if self._progress.committed else WAITING
        self._close(cancelled_at=phase)
        return LEFT_EARLY if self._order.facts.free_when_left else owed

    def report(self) -> None:
        """Tell the observer how the call was, now that it is over."""
        model = self._services.models.label(self._served.model)
        self._services.observer.call_ended(self._journal.closed_facts(model, ""))

    async def _try_route(self, target: Target) -> Done[T] | UpstreamError:
        """One route, with one retry where its failure allows it."""
        breakers, key = self._services.breakers, (target.provider, target.upstream)
        failure: UpstreamError | None = None
        for again in (False, True):
            down = breakers.wait_s(*key, trio.current_time())
            if down:
                return failure or UpstreamError("provider_error", RESTING, retry="other", retry_after_s=down)
            try:
                answer = await self._ask(target)
            except UpstreamError as error:
                failure = error
                breakers.fail(*key, error, trio.current_time())
                self._journal.end_attempt(error)
                self._log(target, error)
            except BaseException as error:
                breakers.leave(*key)
                self._journal.broke_off(error)
                raise
            else:
                breakers.succeed(*key)
                return await self._settle(answer)
            wait = failure.retry_after_s
            if again or self._progress.committed or failure.retry != "once":
                return failure
            if (wait is not None and wait > LONGEST_WAIT_S) or not breakers.may_retry(*key):
                return failure
            wait = random.uniform(*BACK_OFF_S) if wait is None else wait  # noqa: S311 - jitter
            self._progress = Progress(self._served, self._journal)  # a client that leaves now owes nothing (B6)
            await trio.sleep(self._journal.pause(wait))
        return failure or unconfigured()

    async def _ask(self, target: Target) -> T:
        self._progress = Progress(self._served, self._journal)
        self._journal.begin_attempt(target, self._plan.prices[target.model.id])
        served = self._served
        served.model, served.provider, served.attempts = target.model.id, target.provider, len(self._journal.attempts)
        self._services.breakers.begin(target.provider, target.upstream)
        try:
            return await self._attempt(target, self._progress)
        except ReaderLate:  # as good as gone: a slow reader must not make an answer free
            await self._call.post(self.bill_now())
            raise Problem("invalid_request_error", READ_TOO_SLOWLY) from None

    async def _settle(self, answer: T) -> Done[T]:
        bill = self._bill(answer)
        self._journal.answered()
        self._close()
        beside = None if self._beside is None else self._beside(answer, self._served)
        return Done(answer, self._served, await self._call.post(bill, beside))

    async def _given_up(self, failures: list[UpstreamError]) -> Problem:
        """Void the call; the client's error is the last failure, being throttled only when all routes were."""
        untold = [failure for failure in failures if failure.code != "rate_limit_exceeded"]
        failure = (untold or failures or [unconfigured()])[-1]
        self._close(failure=failure.code)
        await self._call.void("failed", "B6")
        problem = failure.problem()
        problem.headers |= {"X-Generation-Id": self._call.id, "X-CM-Attempts": str(len(self._journal.attempts))}
        return problem

    def _close(self, **facts: Any) -> None:
        self._journal.close(**self._progress.receipt, **facts, model=self._served.model, dropped=self._served.dropped)

    def _log(self, target: Target, error: UpstreamError) -> None:
        log.warning(
            "call.attempt_failed",
            **{"call": self._call.id, "endpoint": self._order.facts.endpoint},
            **{"provider": target.provider, "model": target.upstream, "code": error.code, "status": error.status},
            detail=without_echo(error.detail, *self._order.words),
        )
