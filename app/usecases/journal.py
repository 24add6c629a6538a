"""What happened to a call: attempts, timings, prices, the point of a cancel; for its receipt and for monitoring."""

from __future__ import annotations

import time
from typing import Any

import structlog
import trio

from app.core.chat import ChatRequest
from app.core.echo import without_echo
from app.core.errors import UpstreamError
from app.core.pricing import TokenPrice, UnitPrice
from app.observability.facts import AttemptFacts, CallFacts
from app.usecases.meter import Call
from catalog.routing import Target

log = structlog.get_logger(__name__)


class Journal:
    """Writes into the call's receipt, which is kept with its final row, and into `facts`, which monitoring is given.

    The receipt's times are milliseconds since it was made.
    """

    def __init__(self, call: Call, facts: CallFacts) -> None:
        self._call = call
        self._receipt = call.receipt
        self._facts = facts
        facts.id = call.id
        self._began = time.perf_counter()
        self._attempt_began = 0
        self.attempts: list[dict[str, Any]] = []
        self._receipt["attempts"] = self.attempts

    def begin_attempt(self, target: Target, price: TokenPrice | UnitPrice) -> None:
        self._attempt_began = self.elapsed_ms()
        self.attempts.append({"provider": target.provider, "model": target.upstream})
        self._receipt["prices"] = price.receipt()
        self._facts.attempts.append(AttemptFacts(target.provider, target.upstream, trio.current_time()))
        self._facts.first_content = None

    def disconnected(self, waited_s: float) -> None:
        """The attempt's connection is closed or given back."""
        attempt = self._facts.attempts[-1]
        attempt.waited_s, attempt.ended = waited_s, trio.current_time()

    def answered(self) -> None:
        """The attempt has brought the answer."""
        self._facts.attempts[-1].result = "ok"

    def broke_off(self, error: BaseException) -> None:
        """The attempt ended with neither an answer nor a failure of the provider's: by a cancel, or a fault of ours."""
        attempt = self._facts.attempts[-1]
        if attempt.result == "left" and isinstance(error, Exception) and self._facts.phase is None:
            attempt.result = "ours"

    def pause(self, wait_s: float) -> float:
        """`wait_s`, noted as a wait before the next attempt."""
        self._facts.paused_s += wait_s
        return wait_s

    def end_attempt(self, failure: UpstreamError | None = None) -> None:
        attempt = self.attempts[-1]
        attempt["ms"] = self.elapsed_ms() - self._attempt_began
        if failure is not None:
            attempt |= {"code": failure.code, "status": failure.status}
            self._facts.attempts[-1].fail(failure, trio.current_time())

    def content_came(self) -> None:
        self._receipt.setdefault("first_content_ms", self.elapsed_ms())
        self._facts.first_content = trio.current_time()

    def close(self, **facts: Any) -> None:
        """The last facts, before the call is ended."""
        self._receipt.update(facts, total_ms=self.elapsed_ms())
        self._facts.phase = facts.get("cancelled_at")
        self._facts.usage = facts.get("usage")
        self._facts.finish_reasons = tuple(facts.get("finish_reasons", {}).values())
        if self.attempts and "ms" not in self.attempts[-1]:
            self.end_attempt()

    def closed_facts(self, model: str, response_model: str) -> CallFacts:
        """The facts of a call that is over; `model` as metrics call it. What is not settled yet is not charged yet."""
        facts, bill, ending = self._facts, self._call.bill, self._call.ending
        facts.model, facts.response_model, facts.ended = model, response_model, trio.current_time()
        if bill is not None:
            facts.outcome = bill.outcome
        if ending is not None:
            facts.basis, facts.charge_ucr, facts.uncollected_ucr = ending.basis, ending.charge, ending.uncollected
        return facts

    def elapsed_ms(self) -> int:
        return int((time.perf_counter() - self._began) * 1000)


def log_failure(call_id: str, request: ChatRequest, target: Target, error: UpstreamError) -> None:
    """One line for the operator; an upstream that quotes the prompt in its error is not quoted here."""
    log.warning(
        "chat.attempt_failed",
        **{"call": call_id, "provider": target.provider, "model": target.upstream},
        **{"code": error.code, "status": error.status},
        detail=without_echo(error.detail, request.messages, request.tools),
    )
