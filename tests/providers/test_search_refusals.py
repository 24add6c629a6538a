"""The error table of wire/search.md section 9: who is asked next, and what the breaker does."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import UpstreamError
from app.providers.search.backend import Backend
from app.providers.search.brave import Brave
from app.providers.search.exa import Exa
from app.providers.search.searxng import SearXNG
from app.providers.search.serper import Serper
from app.providers.search.tavily import Tavily

BACKENDS: dict[str, Backend] = {
    "serper": Serper("secret-key"),
    "exa": Exa("secret-key"),
    "tavily": Tavily("secret-key"),
    "brave": Brave("secret-key"),
    "searxng": SearXNG(),
}
ACCOUNT = ("provider_error", "other", "open_provider")
CLIENT = ("invalid_request_error", "no", "ignore")
POLICY = ("content_policy_violation", "no", "ignore")
THROTTLED = ("rate_limit_exceeded", "other", "rest")
FAILED = ("upstream_error", "other", "count")
AWAY = ("provider_error", "other", "count")


def brave(code: str, **more: Any) -> dict[str, Any]:
    return {"type": "ErrorResponse", "errors": [{"id": "1", "code": code, "detail": "words", **more}]}


TABLE: list[tuple[str, int, Any, tuple[str, str, str]]] = [
    ("serper", 401, {"message": "Unauthorized."}, ACCOUNT),
    ("serper", 403, {"message": "Unauthorized.", "statusCode": 403}, ACCOUNT),
    ("serper", 400, {"message": "Not enough credits"}, ACCOUNT),
    ("serper", 400, {"message": "bad num"}, CLIENT),
    ("serper", 429, None, THROTTLED),
    ("serper", 500, None, FAILED),
    ("exa", 400, {"error": "x", "tag": "INVALID_NUM_RESULTS"}, CLIENT),
    ("exa", 422, None, CLIENT),
    ("exa", 401, None, ACCOUNT),
    ("exa", 402, {"tag": "NO_MORE_CREDITS"}, ACCOUNT),
    ("exa", 403, {"tag": "PROHIBITED_CONTENT"}, POLICY),
    ("exa", 403, {"tag": "FEATURE_DISABLED"}, ACCOUNT),
    ("exa", 429, None, THROTTLED),
    ("exa", 500, None, FAILED),
    ("exa", 501, None, FAILED),
    ("exa", 503, None, AWAY),
    ("exa", 504, None, AWAY),
    ("tavily", 400, {"detail": {"error": "x"}}, CLIENT),
    ("tavily", 401, {"detail": {"error": "x"}}, ACCOUNT),
    ("tavily", 432, None, ACCOUNT),
    ("tavily", 433, None, ACCOUNT),
    ("tavily", 429, {"detail": "slow"}, THROTTLED),
    ("tavily", 502, None, FAILED),
    ("brave", 422, brave("SUBSCRIPTION_TOKEN_INVALID"), ACCOUNT),
    ("brave", 422, {"error": {"code": "SUBSCRIPTION_TOKEN_INVALID"}}, ACCOUNT),
    ("brave", 422, brave("VALIDATION", meta={"errors": [{"loc": ["header", "x-subscription-token"]}]}), ACCOUNT),
    ("brave", 422, brave("VALIDATION", meta={"errors": [{"loc": ["query", "count"]}]}), CLIENT),
    ("brave", 404, brave("SUBSCRIPTION_NOT_FOUND"), ACCOUNT),
    ("brave", 429, brave("RATE_LIMITED"), THROTTLED),
    ("brave", 429, brave("QUOTA_LIMITED"), ACCOUNT),
    ("brave", 500, None, FAILED),
    ("searxng", 403, None, ACCOUNT),
    ("searxng", 401, None, ACCOUNT),
    ("searxng", 429, None, THROTTLED),
    ("searxng", 500, None, FAILED),
]


def refused(provider: str, status: int, body: Any, **headers: str) -> UpstreamError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return BACKENDS[provider].refusal(status, named, body, 0.0)


@pytest.mark.parametrize(("provider", "status", "body", "seen"), TABLE)
def test_each_refusal_is_judged_as_the_document_says(
    provider: str, status: int, body: Any, seen: tuple[str, str, str]
) -> None:
    error = refused(provider, status, body)
    assert (error.code, error.retry, error.breaker) == seen


def test_how_long_a_throttled_provider_rests() -> None:
    assert refused("serper", 429, None, retry_after="7").retry_after_s == 7
    assert refused("tavily", 429, None).retry_after_s == 60
    assert refused("brave", 429, brave("RATE_LIMITED")).retry_after_s == 1
    quota = refused("brave", 429, brave("QUOTA_LIMITED"), x_ratelimit_reset="1, 86000")
    assert quota.retry_after_s == 86000


def test_no_word_of_the_provider_and_no_key_of_ours_gets_out() -> None:
    error = refused("exa", 400, {"error": "bad key secret-key", "tag": "INVALID_REQUEST"})
    assert "bad key" not in error.message
    assert "secret-key" not in error.detail
