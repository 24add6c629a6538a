"""What one request was, written down as it happens; metrics and spans are made from it when it is over.

So the way of a call holds numbers and short words only, and nothing here could carry content. Times are Trio's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.core.call_facts import UNMARKED, Marks
from app.core.deltas import Usage
from app.core.errors import UpstreamError
from app.core.ledger import Basis, Outcome
from app.observability.names import OTHER
from app.observability.trace import Trace

#: Whose fault an attempt's end was; `left`: the client's, by not waiting.
AttemptClass = Literal["ok", "request", "provider", "ours", "left"]
#: When a client left, in the words of the receipt.
Phase = Literal["before acceptance", "before first token", "mid-answer"]


@dataclass(slots=True)
class AttemptFacts:
    """One question to a provider. `waited_s` is the part of it in which the provider was waited for."""

    provider: str
    upstream_model: str
    began: float
    ended: float = 0.0
    waited_s: float = 0.0
    result: AttemptClass = "left"
    status: int | None = None
    code: str | None = None

    def fail(self, error: UpstreamError, at: float) -> None:
        """pains.md pain 23: the request's fault, the provider's, or ours, whose key or balance was refused."""
        self.status, self.code = error.status, error.code
        self.ended = self.ended or at  # it may never have come to a connection
        by_breaker: dict[str, AttemptClass] = {"ignore": "request", "open_provider": "ours"}
        self.result = by_breaker.get(error.breaker, "provider")


@dataclass(slots=True)
class CallFacts:
    """One billable call. `id` is empty until it is admitted; `model` is a catalog id or `other`."""

    request_id: str
    endpoint: str
    began: float
    operation: str = "chat"
    #: What the call's id begins with on this surface; by its category if empty.
    id_prefix: str = ""
    sdk_retries: int = 0
    #: The client's own words, kept with the call and shown to nobody else: never a label, a log line or a span.
    marks: Marks = UNMARKED
    #: A cancel costs nothing, since nobody has seen anything of the answer: a bot's calls.
    free_when_left: bool = False
    id: str = ""
    model: str = OTHER
    streamed: bool = False
    attempts: list[AttemptFacts] = field(default_factory=list)
    first_content: float | None = None
    response_model: str = ""
    usage: Usage | None = None
    finish_reasons: tuple[str, ...] = ()
    phase: Phase | None = None
    #: Waits of our own choosing before a retry.
    paused_s: float = 0.0
    #: Waits for a client that reads slowly.
    blocked_s: float = 0.0
    heartbeats: int = 0
    ended: float = 0.0
    outcome: Outcome = "failed"
    basis: Basis = "none"
    charge_ucr: int = 0
    uncollected_ucr: int = 0

    @property
    def waited_s(self) -> float:
        """Time that was not ours."""
        return self.paused_s + self.blocked_s + sum(attempt.waited_s for attempt in self.attempts)


@dataclass(slots=True)
class RequestFacts:
    """One HTTP request; `endpoint` is a route's rule or `other`, `status` 499 when the client left before any."""

    request_id: str
    method: str
    endpoint: str
    status: int
    at_us: int
    began: float
    ended: float
    code: str | None
    left_at: float | None
    trace: Trace
    call: CallFacts | None

    @property
    def overhead_s(self) -> float:
        return max(0.0, self.ended - self.began - (self.call.waited_s if self.call is not None else 0.0))

    @property
    def close_lag_s(self) -> float | None:
        """From the client's leaving to the end of the attempt that was under way then."""
        call = self.call
        if self.left_at is None or call is None or call.phase is None or not call.attempts:
            return None
        lag_s = call.attempts[-1].ended - self.left_at
        return lag_s if lag_s >= 0 else None
