"""What in a client's experience nothing explains: neither its provider's cue, nor an outage of all providers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scripts.soak.asks import FRAGILE
from scripts.soak.client import Told

#: Error codes that a provider's fault explains.
PROVIDERS: Final = frozenset({"upstream_error", "provider_error"})
#: Besides, those by which a provider's refusal of the request itself is passed on.
REFUSALS: Final = frozenset(
    {
        "content_policy_violation",
        "context_length_exceeded",
        "invalid_request_error",
        "invalid_value",
        "model_not_found",
        "rate_limit_exceeded",
    }
)
OWN: Final = frozenset({"internal_error", "storage_unavailable"})
OWN_FAULT: Final = "a 5xx of our own"
UNEXPLAINED: Final = "an error that nothing explains"
BROKEN: Final = "broken off"
UNANSWERED: Final = "never answered"


@dataclass(slots=True)
class Outage:
    """All providers were away; `until` is when they were back, and their routes with them. Trio's clock."""

    since: float
    until: float = float("inf")

    def touched(self, told: Told) -> bool:
        return told.began <= self.until and told.ended >= self.since


def why_wrong(told: Told, outages: Sequence[Outage]) -> str | None:
    """None when all is as it should be. Who left has seen too little to complain of anything but our own faults."""
    if told.code in OWN or (told.status >= 500 and told.code not in PROVIDERS and not told.left):
        return OWN_FAULT
    if told.unanswered:
        return UNANSWERED
    if told.broken:
        return BROKEN
    return None if told.left or told.saw_end or _explained(told, outages) else UNEXPLAINED


def _explained(told: Told, outages: Sequence[Outage]) -> bool:
    if told.ask.model in FRAGILE:
        return told.code in PROVIDERS | REFUSALS
    return told.code in PROVIDERS and any(outage.touched(told) for outage in outages)
