"""Everything that can go wrong in words: the client's `Problem` and the provider's `UpstreamError`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from traceback import extract_tb
from typing import Final, Literal

import msgspec

INVALID: Final = "invalid_request_error"
QUOTA: Final = "insufficient_quota"
RATE: Final = "rate_limit_error"
SERVER: Final = "server_error"

#: code -> (HTTP status, error type); spec.md section 4.2 is the source of every row.
CODES: Final[dict[str, tuple[int, str]]] = {
    "invalid_request_error": (400, INVALID),
    "invalid_value": (400, INVALID),
    "invalid_type": (400, INVALID),
    "missing_required_parameter": (400, INVALID),
    "unsupported_image_input": (400, INVALID),
    "unsupported_parameter": (400, INVALID),
    "unsupported_tool_type": (400, INVALID),
    "voice_agent_only_model": (400, INVALID),
    "context_length_exceeded": (400, INVALID),
    "content_policy_violation": (400, INVALID),
    "invalid_api_key": (401, INVALID),
    "api_key_expired": (401, INVALID),
    "token_expired": (401, INVALID),
    "session_required": (401, INVALID),
    "insufficient_credits": (402, QUOTA),
    "budget_exceeded": (402, QUOTA),
    "permission_denied": (403, INVALID),
    "domain_not_allowed": (403, INVALID),
    "search_provider_not_allowed": (403, INVALID),
    "model_not_available": (403, INVALID),
    "model_not_allowed": (403, INVALID),
    "account_inactive": (403, INVALID),
    "csrf_failed": (403, INVALID),
    "role_required": (403, INVALID),
    "model_not_found": (404, INVALID),
    "not_found": (404, INVALID),
    "method_not_allowed": (405, INVALID),
    "conflict": (409, INVALID),
    "idempotency_key_reused": (409, INVALID),
    "idempotency_in_progress": (409, INVALID),
    "request_too_large": (413, INVALID),
    "window_closed": (422, INVALID),
    "rate_limit_exceeded": (429, RATE),
    "too_many_concurrent_requests": (429, RATE),
    "credits_held": (429, RATE),
    "quota_exceeded": (429, QUOTA),
    "internal_error": (500, SERVER),
    "not_implemented": (501, SERVER),
    "upstream_error": (502, SERVER),
    "storage_unavailable": (503, SERVER),
    "provider_error": (503, SERVER),
    "model_under_maintenance": (503, SERVER),
}

#: Codes that an SDK would retry by status although a retry cannot help (spec.md section 4.2, compat.md H7).
NEVER_RETRY: Final = frozenset(
    {
        "insufficient_credits",
        "budget_exceeded",
        "conflict",
        "idempotency_key_reused",
        "quota_exceeded",
        "model_under_maintenance",
    }
)
LONGEST_RETRY_S: Final = 60


@dataclass(eq=False)
class Problem(Exception):
    """The client's error: one code of `CODES`, a message that says what to do next, the field that is wrong.

    `retry_after_s` becomes `Retry-After`; `headers` go out besides.
    """

    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def status(self) -> int:
        return CODES[self.code][0]

    @property
    def type(self) -> str:
        return CODES[self.code][1]

    def envelope(self) -> dict[str, dict[str, str | None]]:
        """The OpenAI error object with all four keys (compat.md H5)."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    def body(self) -> bytes:
        return msgspec.json.encode(self.envelope())

    def response_headers(self) -> dict[str, str]:
        """`Retry-After` in whole seconds, never 0, and `x-should-retry: false` where a retry cannot help."""
        headers = dict(self.headers)
        wait = self.retry_after_s
        if wait is not None:
            headers["Retry-After"] = str(max(1, -int(-wait // 1)))
        if self.code in NEVER_RETRY or (wait is not None and wait > LONGEST_RETRY_S):
            headers["x-should-retry"] = "false"
        return headers


def first_error(error: BaseException) -> BaseException:
    """The error itself, or the first leaf of a group: what a nursery was left with, for a message."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def error_places(error: BaseException) -> list[str]:
    """Type and place of every error in a group, never its words: they may quote what a client sent."""
    if isinstance(error, BaseExceptionGroup):
        return [line for each in error.exceptions for line in error_places(each)]
    frames = extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return [type(error).__name__ + place]


#: What may be tried after a failure: nothing; the same route once more, then the next; the next route only.
Retry = Literal["no", "once", "other"]
#: What the breaker does: nothing; one failure; open this model; open the provider's account; pause for `retry_after_s`.
Breaker = Literal["ignore", "count", "open_model", "open_provider", "rest"]


@dataclass(eq=False)
class UpstreamError(Exception):
    """A provider's failure, mapped once at the adapter (wire/*.md, last table of each).

    `code` is what our client will see if nothing else helps; `message` is our own words for the client;
    `detail` is for our log only and never leaves.
    """

    code: str
    message: str
    retry: Retry = "no"
    breaker: Breaker = "ignore"
    param: str | None = None
    retry_after_s: float | None = None
    status: int | None = None
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code} (upstream status {self.status}): {self.detail[:200]}"

    def problem(self) -> Problem:
        return Problem(self.code, self.message, self.param, self.retry_after_s)
