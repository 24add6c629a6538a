"""What happened to a call, as its receipt will tell: attempts, timings, prices, the point of a cancel."""

from __future__ import annotations

import time
from typing import Any

import structlog

from app.core.chat import ChatRequest
from app.core.echo import without_echo
from app.core.errors import UpstreamError
from app.core.pricing import TokenPrice
from catalog.routing import Target

log = structlog.get_logger(__name__)


class Journal:
    """Writes into `receipt`, which is kept with the call's final row. Times are milliseconds since it was made."""

    def __init__(self, receipt: dict[str, Any]) -> None:
        self._receipt = receipt
        self._began = time.perf_counter()
        self._attempt_began = 0
        self.attempts: list[dict[str, Any]] = []
        receipt["attempts"] = self.attempts

    def begin_attempt(self, target: Target, price: TokenPrice) -> None:
        self._attempt_began = self.elapsed_ms()
        self.attempts.append({"provider": target.provider, "model": target.upstream})
        self._receipt["prices"] = {"input_musd": price.input_musd, "output_musd": price.output_musd}

    def end_attempt(self, failure: UpstreamError | None = None) -> None:
        attempt = self.attempts[-1]
        attempt["ms"] = self.elapsed_ms() - self._attempt_began
        if failure is not None:
            attempt |= {"code": failure.code, "status": failure.status}

    def content_came(self) -> None:
        self._receipt.setdefault("first_content_ms", self.elapsed_ms())

    def close(self, **facts: Any) -> None:
        """The last facts, before the call is ended."""
        self._receipt.update(facts, total_ms=self.elapsed_ms())
        if self.attempts and "ms" not in self.attempts[-1]:
            self.end_attempt()

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
