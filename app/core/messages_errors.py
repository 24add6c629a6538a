"""Errors and limits in Anthropic's words: envelope, status, type and headers (spec.md section 9.4, compat.md M10)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from app.core.allowance import iso_time
from app.core.errors import Problem
from app.core.limits import RateState

#: In place of 503 for a provider that cannot be reached or is resting.
OVERLOADED: Final = 529
TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    OVERLOADED: "overloaded_error",
}
#: What this surface calls a field of chat, in a message, as `param` and in `X-CM-Dropped-Params`.
NAMES: Final = {
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning.effort": "output_config.effort",
    "reasoning.max_tokens": "thinking.budget_tokens",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
}
PREFIXES: Final = ("/v1/messages", "/v1/v1/", "/anthropic/")
LIMIT, REMAINING, RESET = "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "X-RateLimit-Reset"


def speaks_messages(path: str, *, versioned: bool) -> bool:
    """Whether a request is answered in this surface's way; `versioned`: it has an `anthropic-version` (M13)."""
    return path.startswith(PREFIXES) or (versioned and path.startswith("/v1/models"))


def status_of(problem: Problem) -> int:
    return OVERLOADED if problem.code == "provider_error" else problem.status


def body(problem: Problem, request_id: str) -> bytes:
    """The envelope; `details` holds the gateway's own code, which SDKs show as `error_code`."""
    status = status_of(problem)
    kind = TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    details: dict[str, Any] = {"error_code": problem.code}
    message, param = problem.message, problem.param
    if param is not None:
        details["param"] = NAMES.get(param, param)
        message = message.replace(f"`{param}`", f"`{details['param']}`")
    error = {"type": kind, "message": message, "details": details}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})


def response_headers(problem: Problem) -> dict[str, str]:
    """Those of the problem; a refusal by rate tells the window in this surface's names, too."""
    headers = problem.response_headers()
    if LIMIT in headers and RESET in headers:
        headers |= _window(headers[LIMIT], headers[REMAINING], headers[RESET])
    return headers


def rate_headers(rate: RateState, at_us: int) -> dict[str, str]:
    """The key's request window after an admitted call."""
    return _window(str(rate.limit), str(rate.remaining), iso_time(at_us + rate.reset_us))


def own_names(fields: Iterable[str]) -> tuple[str, ...]:
    """Fields of chat by this surface's names, each once."""
    return tuple(dict.fromkeys(NAMES.get(name, name) for name in fields))


def _window(limit: str, remaining: str, reset: str) -> dict[str, str]:
    names = ("limit", "remaining", "reset")
    return {
        f"anthropic-ratelimit-requests-{name}": value
        for name, value in zip(names, (limit, remaining, reset), strict=True)
    }
