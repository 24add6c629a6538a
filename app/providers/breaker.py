"""Which routes are down: a breaker per (provider, model) that only a provider's own faults can open. Pure.

Also the retry budget: retries may add a tenth to a route's calls, so that a failing provider is not hammered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.core.errors import UpstreamError

FAILURES_TO_OPEN: Final = 5
WINDOW_S: Final = 30.0
COOL_DOWN_S: Final = 15.0
LONG_COOL_DOWN_S: Final = 60.0
REST_S: Final = 5.0
LONGEST_REST_S: Final = 24 * 3600.0
RETRIES_IN_HAND: Final = 10.0
RETRY_PER_CALL: Final = 0.1


@dataclass(slots=True)
class Route:
    """The state of one (provider, model)."""

    failures: int = 0
    first_failure_at: float = 0.0
    closed_until: float = 0.0
    on_trial: bool = False
    retries: float = RETRIES_IN_HAND


class Breakers:
    """All routes. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], Route] = {}
        self._providers: dict[str, float] = {}

    def wait_s(self, provider: str, model: str, now: float) -> float:
        """0 when the route may be tried, else how long it is down. After a cool-down one call at a time may try."""
        until = self._providers.get(provider, 0.0)
        route = self._routes.get((provider, model))
        if route is not None:
            until = max(until, route.closed_until)
            if until <= now and route.on_trial and route.failures >= FAILURES_TO_OPEN:
                return COOL_DOWN_S
        return max(0.0, until - now)

    def states(self, now: float) -> Iterator[tuple[str, str, bool]]:
        """(provider, model, whether it is down) of every route that was ever asked."""
        for provider, model in self._routes:
            yield provider, model, self.wait_s(provider, model, now) > 0

    def begin(self, provider: str, model: str) -> None:
        """A call goes out on this route."""
        route = self._route(provider, model)
        route.on_trial = True
        route.retries = min(RETRIES_IN_HAND, route.retries + RETRY_PER_CALL)

    def may_retry(self, provider: str, model: str) -> bool:
        """Take one retry from the route's budget."""
        route = self._route(provider, model)
        if route.retries < 1:
            return False
        route.retries -= 1
        return True

    def succeed(self, provider: str, model: str) -> None:
        route = self._route(provider, model)
        route.failures, route.on_trial = 0, False

    def leave(self, provider: str, model: str) -> None:
        """The trial is over for the others: content flows, or the client left. The verdict comes with the end."""
        self._route(provider, model).on_trial = False

    def fail(self, provider: str, model: str, error: UpstreamError, now: float) -> None:
        """Count a failure as its `breaker` word says; the request's own faults are ignored."""
        route = self._route(provider, model)
        route.on_trial = False
        match error.breaker:
            case "ignore":
                pass
            case "rest":
                pause = REST_S if error.retry_after_s is None else error.retry_after_s
                route.closed_until = max(route.closed_until, now + min(pause, LONGEST_REST_S))
            case "open_model":
                route.closed_until = now + LONG_COOL_DOWN_S
            case "open_provider":
                pause = LONG_COOL_DOWN_S if error.retry_after_s is None else error.retry_after_s
                self._providers[provider] = now + min(pause, LONGEST_REST_S)
            case "count":
                self._count(route, now)

    def _count(self, route: Route, now: float) -> None:
        if route.failures < FAILURES_TO_OPEN and now - route.first_failure_at > WINDOW_S:
            route.failures, route.first_failure_at = 0, now
        route.failures += 1
        if route.failures >= FAILURES_TO_OPEN:
            route.closed_until = now + COOL_DOWN_S

    def _route(self, provider: str, model: str) -> Route:
        return self._routes.setdefault((provider, model), Route())
