"""The headers worth naming: what may be sent beside a request, what comes with an answer (spec.md sections 17, 18)."""

from __future__ import annotations

from typing import Final

from app.api.openapi.described import Json
from app.core.idempotency import HEADER, LONGEST_KEY

TEXT: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
TIME: Final[Json] = {"type": "string", "format": "date-time"}

#: name -> (what it is for, its schema)
REQUEST: Final[dict[str, tuple[str, Json]]] = {
    HEADER: (
        "Makes a repeat safe for 24 hours: the same request with the same key is run and billed once, and answered "
        "again as it was",
        {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    ),
    "X-Session-Id": ("Your own name for a session, to look for in the log of calls", TEXT),
    "X-Trace-Id": ("The same for a trace", TEXT),
    "anthropic-version": ("Any; with it errors and the model list are in Anthropic's form", TEXT),
}
REPLY: Final[dict[str, tuple[str, Json]]] = {
    "X-Request-ID": ("Tell it to support", TEXT),
    "request-id": ("The same under Anthropic's name", TEXT),
    "Retry-After": ("Seconds to wait before another try", {"type": "integer", "minimum": 1}),
    "x-should-retry": ("`false` where another try cannot help", {"type": "string", "enum": ["false"]}),
    "X-Generation-Id": ("The call's id: the key to its receipt at `/v1/generation`", TEXT),
    "X-CM-Provider": ("The provider that served", TEXT),
    "X-CM-Attempts": ("How many tries it took", COUNT),
    "X-CM-Dropped-Params": ("Tuning fields that the provider lacks and that were left out", TEXT),
    "X-Credits-Balance": ("What is left, in credits", {"type": "string", "pattern": r"^\d+\.\d{6}$"}),
    "X-RateLimit-Limit": ("The plan's calls of this kind in a month", COUNT),
    "X-RateLimit-Remaining": ("What is left of them", COUNT),
    "X-RateLimit-Reset": ("When they begin anew", TIME),
    "X-Usage-Warning": ("`warning: …` from 80 % of the month's calls, `critical: …` from 95 %", TEXT),
    "x-ratelimit-limit-requests": ("Requests that the key may make in a minute", COUNT),
    "x-ratelimit-remaining-requests": ("What is left of them", COUNT),
    "x-ratelimit-reset-requests": ("When all of them are there again, such as `1s`", TEXT),
    "anthropic-ratelimit-requests-limit": ("Requests that the key may make in a minute", COUNT),
    "anthropic-ratelimit-requests-remaining": ("What is left of them", COUNT),
    "anthropic-ratelimit-requests-reset": ("When all of them are there again", TIME),
    "Idempotent-Replay": ("`true`: this is the answer of an earlier request with the same key", TEXT),
    "ETag": ("Send it as `If-None-Match` to be told 304 while nothing has changed", TEXT),
}
#: What may be sent with every call that costs something.
ASKED: Final = (HEADER, "X-Session-Id", "X-Trace-Id")
#: Every answer has it; nothing else is promised on every answer.
ALWAYS: Final = "X-Request-ID"
#: What an answered call tells of itself, and of what is left of its limits.
CALL: Final = (
    *("X-Generation-Id", "X-CM-Provider", "X-CM-Attempts", "X-CM-Dropped-Params", "Idempotent-Replay"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Usage-Warning"),
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
)
ANTHROPIC_CALL: Final = (
    *("request-id", *CALL),
    *("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"),
    "anthropic-ratelimit-requests-reset",
)
#: Besides, by the status of a refusal.
BY_STATUS: Final[dict[int, tuple[str, ...]]] = {
    402: ("x-should-retry",),
    409: ("x-should-retry", "Retry-After"),
    429: ("Retry-After", "x-should-retry"),
    503: ("Retry-After", "x-should-retry"),
    529: ("Retry-After",),
}


def component(name: str) -> Json:
    """The header as the document defines it."""
    text, schema = REPLY[name]
    promised = {"required": True} if name == ALWAYS else {}
    return {"description": text, **promised, "schema": schema}


def references(names: tuple[str, ...]) -> Json:
    """Those of one answer, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (ALWAYS, *names)}


def parameter(name: str) -> Json:
    """A header that may be sent."""
    text, schema = REQUEST[name]
    return {"name": name, "in": "header", "description": text, "schema": schema}
