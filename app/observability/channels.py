"""What is counted of the channels: turns and their parts, attempts to send, webhooks of their providers.

Told by the services of `channels` when what they tell of is committed. Words that are in none of the closed sets here
count as `other`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from app.core.errors import CODES
from app.core.outcomes import OUR_FAULT
from app.observability import names
from app.observability.names import OTHER, Family
from app.observability.stats import Buckets, Counts, Histograms

#: Why turns end as they do. One that failed at its model has the code of an error, here by whose fault that was: the
#: provider's, or the bot's, which asks for what is refused.
REASONS: Final[Mapping[str, frozenset[str]]] = {
    "answered": frozenset({""}),
    "superseded": frozenset({"more_written"}),
    "dropped": frozenset({"taken_over", "switched_off", "taken_back", "unheard"}),
    "failed": frozenset({"late", "crashed", "no_credits", "number_error", "provider", "refused", OTHER}),
}
#: Reasons as turns have them, where they are others.
_CLASSES: Final[Mapping[str, str]] = {
    "the user has written more": "more_written",
    "a person has taken over": "taken_over",
    "the bot was switched off": "switched_off",
    "the user has taken a message back": "taken_back",
    **{code: "provider" if status >= OUR_FAULT else "refused" for code, (status, _) in CODES.items()},
}
PARTS: Final = ("waited", "heard", "model", "functions", "total")
PROVIDERS: Final = ("meta", "twilio")
#: Besides `refused_` with what for, of the closed set of `providers.whatsapp.line`.
OUTCOMES: Final = ("accepted", "not_sent", "unknown")
#: Routes of webhooks begin so.
HOOKS: Final[Mapping[str, str]] = {"/api/v1/webhooks/whatsapp": "meta", "/api/v1/webhooks/twilio": "twilio"}


class ChannelMetrics:
    """Of one gateway. Closed sets are there from the start: 0 is a figure too."""

    def __init__(self) -> None:
        #: Conversations that this process works on.
        self.running = 0
        self._turns: Counts = defaultdict(float)
        self._parts = Histograms(names.TURN_SECONDS.buckets)
        self._reply_s = Buckets(names.REPLY_SECONDS.buckets)
        self._attempts: Counts = defaultdict(float)
        self._attempt_s = Histograms(names.SEND_SECONDS.buckets)
        self._hook_s = Histograms(names.HOOK_SECONDS.buckets)
        for state, reasons in REASONS.items():
            for reason in sorted(reasons):
                self._turns[state, reason] = 0.0
        for part in PARTS:
            self._parts[part,]  # makes it
        for name in PROVIDERS:
            for outcome in OUTCOMES:
                self._attempts[name, outcome] = 0.0
            self._attempt_s[name,]
            self._hook_s[name, "200"]

    def tables(self) -> Iterator[tuple[Family, Mapping[tuple[str, ...], float | Buckets]]]:
        yield names.TURNS_RUNNING, {(): self.running}
        yield names.TURNS, self._turns
        yield names.TURN_SECONDS, self._parts
        yield names.REPLY_SECONDS, {(): self._reply_s}
        yield names.SEND_ATTEMPTS, self._attempts
        yield names.SEND_SECONDS, self._attempt_s
        yield names.HOOK_SECONDS, self._hook_s

    def turn_ended(self, state: str, reason: str, parts_ms: Mapping[str, int]) -> None:
        """`parts_ms` by the names of `PARTS`; a part that a turn did not have is left out."""
        known = _CLASSES.get(reason, reason)
        self._turns[state, known if known in REASONS.get(state, ()) else OTHER] += 1
        for part, took_ms in parts_ms.items():
            if part in PARTS:
                self._parts[part,].observe(took_ms / 1000)

    def replied(self, took_s: float) -> None:
        """The provider has taken a turn's answer, so long after the newest message that it answers."""
        self._reply_s.observe(took_s)

    def send_attempted(self, provider: str, outcome: str, took_s: float) -> None:
        self._attempts[provider, outcome] += 1
        self._attempt_s[provider,].observe(took_s)

    def request_ended(self, endpoint: str, status: int, took_s: float) -> None:
        """Of any route; those of webhooks count."""
        for prefix, provider in HOOKS.items():
            if endpoint.startswith(prefix):
                self._hook_s[provider, str(status)].observe(took_s)
