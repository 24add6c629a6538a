"""Cross-origin headers: any page may call with its own key; cookies only from the dashboard (compat.md section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Headers = list[tuple[bytes, bytes]]

METHODS: Final = b"GET, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE: Final = b"600"
ALLOWED: Final = frozenset(
    {
        *("authorization", "content-type", "x-api-key", "anthropic-version", "anthropic-beta"),
        *("anthropic-dangerous-direct-browser-access", "openai-organization", "openai-project", "openai-beta"),
        *("idempotency-key", "x-session-id", "x-trace-id", "accept", "user-agent"),
    }
)
ALLOWED_PREFIX: Final = "x-stainless-"
EXPOSED: Final = ", ".join(
    (
        *("x-request-id", "request-id", "x-generation-id", "x-credits-balance", "x-cm-dropped-params"),
        *("x-cm-provider", "x-cm-attempts", "idempotent-replay", "retry-after", "retry-after-ms", "x-should-retry"),
        *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "openai-processing-ms"),
        *("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"),
        "anthropic-ratelimit-requests-reset",
    )
).encode()


def preflight(headers: Mapping[bytes, bytes]) -> Headers:
    """The answer to OPTIONS, besides `reply_headers`: the asked headers that are allowed, each by its name, since `*`
    does not cover Authorization."""
    asked = headers.get(b"access-control-request-headers", b"").decode("latin1").lower()
    names = [name.strip() for name in asked.split(",")]
    granted = [name for name in names if name in ALLOWED or name.startswith(ALLOWED_PREFIX)]
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", ", ".join(granted or sorted(ALLOWED)).encode()),
        (b"access-control-max-age", MAX_AGE),
    ]


def reply_headers(origin: bytes, dashboard_origin: str | None) -> Headers:
    """What every reply to a page carries, errors and streams alike."""
    if dashboard_origin is not None and origin == dashboard_origin.encode():
        allowed = [(b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")]
    else:
        allowed = [(b"access-control-allow-origin", b"*")]
    return [*allowed, (b"vary", b"Origin"), (b"access-control-expose-headers", EXPOSED)]
