"""The search providers (wire/search.md sections 4 to 9): their keys and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from scripts.simulator.dialects.dialect import Dialect, ErrorRow, JsonObject
from scripts.simulator.triggers import Refusal

Rows = Mapping[Refusal, ErrorRow]
_BEHIND: Final[Rows] = {
    "server_error": ErrorRow(500, "", "internal error"),
    "bad_gateway": ErrorRow(502, "", "bad gateway"),
    "unavailable": ErrorRow(503, "", "unavailable"),
    "overloaded": ErrorRow(529, "", "overloaded"),
}


def _dialect(name: str, key_header: str | None, envelope: Callable[[ErrorRow], JsonObject], errors: Rows) -> Dialect:
    return Dialect(
        name=name,
        id_prefix=f"{name}-",
        key_header=key_header,
        reasoning_key="reasoning",
        usage_at="apart",
        errors={**_BEHIND, **errors},
        envelope=envelope,
        stream_error=lambda row, _chunk: envelope(row),
    )


SERPER: Final = _dialect(
    "serper",
    "x-api-key",
    lambda row: {"message": row.message, "statusCode": row.status},
    {
        "bad_key": ErrorRow(403, "", "Unauthorized."),
        "no_credit": ErrorRow(400, "", "Not enough credits"),
        "forbidden": ErrorRow(403, "", "Unauthorized."),
        "not_found": ErrorRow(404, "", "Not found"),
        "rate_limited": ErrorRow(429, "", "Too many requests"),
        "context_length": ErrorRow(400, "", "Query too long"),
        "content_policy": ErrorRow(400, "", "Query refused"),
        "bad_request": ErrorRow(400, "", "Invalid parameter"),
    },
)
EXA: Final = _dialect(
    "exa",
    "x-api-key",
    lambda row: {"requestId": "simulated", "error": row.message, "tag": row.code},
    {
        "bad_key": ErrorRow(401, "INVALID_API_KEY", "Invalid API key"),
        "no_credit": ErrorRow(402, "NO_MORE_CREDITS", "No more credits"),
        "forbidden": ErrorRow(403, "FEATURE_DISABLED", "Not in your plan"),
        "not_found": ErrorRow(404, "NOT_FOUND", "Not found"),
        "rate_limited": ErrorRow(429, "RATE_LIMITED", "Too many requests"),
        "context_length": ErrorRow(400, "INVALID_REQUEST", "Query too long"),
        "content_policy": ErrorRow(403, "PROHIBITED_CONTENT", "Prohibited content"),
        "bad_request": ErrorRow(400, "INVALID_REQUEST_BODY", "Invalid request body"),
    },
)
TAVILY: Final = _dialect(
    "tavily",
    "authorization",
    lambda row: {"detail": {"error": row.message}},
    {
        "bad_key": ErrorRow(401, "", "Unauthorized: missing or invalid API key."),
        "no_credit": ErrorRow(432, "", "This request exceeds your plan's set usage limit."),
        "forbidden": ErrorRow(403, "", "Forbidden"),
        "not_found": ErrorRow(404, "", "Not found"),
        "rate_limited": ErrorRow(429, "", "Your request has been blocked due to excessive requests."),
        "context_length": ErrorRow(400, "", "Query is too long."),
        "content_policy": ErrorRow(400, "", "Query refused."),
        "bad_request": ErrorRow(400, "", "Invalid topic."),
    },
)


def _brave(row: ErrorRow) -> JsonObject:
    error = {"id": "simulated", "code": row.code, "detail": row.message, "status": row.status, "meta": dict(row.more)}
    return {"type": "ErrorResponse", "error": error, "time": 0}


BRAVE: Final = _dialect(
    "brave",
    "x-subscription-token",
    _brave,
    {
        "bad_key": ErrorRow(422, "SUBSCRIPTION_TOKEN_INVALID", "The provided subscription token is invalid."),
        "no_credit": ErrorRow(429, "QUOTA_LIMITED", "Request quota limit exceeded for plan."),
        "forbidden": ErrorRow(403, "RESOURCE_NOT_ALLOWED", "Not allowed."),
        "not_found": ErrorRow(404, "SUBSCRIPTION_NOT_FOUND", "No subscription."),
        "rate_limited": ErrorRow(429, "RATE_LIMITED", "Request rate limit exceeded for plan."),
        "context_length": ErrorRow(422, "VALIDATION", "Unable to validate request parameter(s)"),
        "content_policy": ErrorRow(422, "VALIDATION", "Unable to validate request parameter(s)"),
        "bad_request": ErrorRow(
            422, "VALIDATION", "Unable to validate request parameter(s)", {"errors": [{"loc": ["query", "count"]}]}
        ),
    },
)
SEARXNG: Final = _dialect(
    "searxng",
    None,
    lambda row: {"error": row.message},
    {
        "bad_key": ErrorRow(401, "", "Unauthorized"),
        "no_credit": ErrorRow(403, "", "Forbidden"),
        "forbidden": ErrorRow(403, "", "Forbidden"),
        "not_found": ErrorRow(404, "", "Not found"),
        "rate_limited": ErrorRow(429, "", "Too Many Requests"),
        "context_length": ErrorRow(400, "", "Invalid query"),
        "content_policy": ErrorRow(400, "", "Invalid query"),
        "bad_request": ErrorRow(400, "", "Invalid settings"),
    },
)
