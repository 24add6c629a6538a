"""The error tables of the wire documents: what an upstream answers, and what our client is to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pytest

from app.providers.cloudflare import Cloudflare
from app.providers.dialect import Dialect
from app.providers.openai_compatible import OpenAICompatible
from app.providers.openrouter import OpenRouter
from app.providers.sarvam import Sarvam

#: 2026-01-01 22:00:00 UTC, two hours before the day ends.
NOW: Final = 1767304800.0
DIALECTS: Final[dict[str, Dialect]] = {
    "openrouter": OpenRouter("key-o", now=lambda: NOW),
    "cloudflare": Cloudflare("key-c", now=lambda: NOW),
    "sarvam": Sarvam("key-s", now=lambda: NOW),
    "compatible": OpenAICompatible("local", "vllm", now=lambda: NOW),
}
UUID: Final = "3f2a9c1e-0b7d-4c55-9a61-aa0102030405"

ACCOUNT: Final = ("provider_error", "other", "open_provider")
MODEL: Final = ("provider_error", "other", "open_model")
CLIENT: Final = ("invalid_request_error", "no", "ignore")
OVERLONG: Final = ("context_length_exceeded", "no", "ignore")
POLICY: Final = ("content_policy_violation", "no", "ignore")
TOO_LARGE: Final = ("request_too_large", "no", "ignore")
FAILED: Final = ("upstream_error", "once", "count")
AWAY: Final = ("provider_error", "once", "count")
OURS: Final = ("upstream_error", "no", "ignore")


@dataclass(frozen=True)
class Row:
    """`error` is the upstream's JSON body or its text; `seen` is (code, retry, breaker)."""

    status: int
    error: Any
    seen: tuple[str, str, str]
    wait_s: float | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    ask: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


def typed(word: str, status: int, **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": status, "message": "words", "metadata": {"error_type": word, **metadata}}}


def available(word: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": 404, "message": "words", "availability": {"code": word, **more}}}


PASSED: Final = {"catalogued": False}
LIMITED: Final = {"client_limits": True}
FREE: Final = {"upstream_model": "openrouter/free"}
OPENROUTER: Final = [
    *(
        Row(400, typed(word, 400), OVERLONG)
        for word in ("context_length_exceeded", "token_limit_exceeded", "string_too_long")
    ),
    *(Row(400, typed(word, 400), POLICY) for word in ("content_policy_violation", "refusal")),
    Row(403, {"error": {"code": 403, "message": "m", "metadata": {"reasons": ["x"], "flagged_input": "y"}}}, POLICY),
    Row(403, {"error": {"code": 403, "message": "m", "metadata": {"patterns": ["x"]}}}, POLICY),
    *(Row(400, typed(word, 400), CLIENT) for word in ("invalid_request", "invalid_prompt")),
    Row(400, typed("max_tokens_exceeded", 400), CLIENT, param="max_tokens"),
    Row(422, typed("unprocessable", 422), CLIENT),
    *(
        Row(400, typed(word, 400), CLIENT, param="messages")
        for word in ("invalid_image", "image_too_large", "image_too_small", "unsupported_image_format")
    ),
    Row(404, typed("image_not_found", 404), CLIENT, param="messages"),
    *(
        Row(400, available(word), ("model_not_found", "no", "ignore"), ask=PASSED)
        for word in ("model_not_found", "wrong_endpoint")
    ),
    *(
        Row(404, available(word), MODEL)
        for word in (
            *("model_not_found", "wrong_endpoint", "no_endpoints", "model_deprecated"),
            *("model_unavailable_upstream", "free_variant_ended"),
        )
    ),
    Row(404, {"error": {"code": 404, "message": "No endpoints found"}}, MODEL),
    *(
        Row(404, available(word), CLIENT, param="provider", ask=LIMITED)
        for word in ("constraint_filtered", "privacy_restricted", "no_endpoints")
    ),
    Row(401, typed("authentication", 401), ("provider_error", "no", "open_provider")),
    Row(402, typed("payment_required", 402), ACCOUNT),
    Row(402, {"error": {"code": 402, "message": "Lower max_tokens or add credits"}}, ACCOUNT),
    Row(403, typed("permission_denied", 403), MODEL),
    Row(403, available("region_restricted"), MODEL),
    Row(403, {"error": {"code": 403, "message": "no"}}, MODEL),
    Row(408, typed("timeout", 408), AWAY),
    Row(504, {"error": {"code": 504, "message": "late"}}, AWAY),
    Row(524, "<html>edge</html>", AWAY),
    Row(412, typed("precondition_failed", 412), CLIENT),
    Row(413, typed("payload_too_large", 413), TOO_LARGE),
    Row(429, typed("rate_limit_exceeded", 429), ("rate_limit_exceeded", "other", "rest"), wait_s=5),
    Row(429, "", ("rate_limit_exceeded", "once", "rest"), wait_s=1, headers={"retry-after": "1"}),
    Row(429, "", ("rate_limit_exceeded", "other", "rest"), wait_s=7, headers={"retry-after": "7"}),
    Row(
        *(429, available("capacity_exhausted", retry_after=3), ("rate_limit_exceeded", "other", "rest")),
        wait_s=3,
        headers={"x-ratelimit-limit": "20"},
    ),
    Row(
        *(429, typed("rate_limit_exceeded", 429), ("provider_error", "other", "rest")),
        wait_s=7200,
        headers={"x-ratelimit-reset": "1767312000000"},
        ask=FREE,
    ),
    Row(
        *(429, typed("rate_limit_exceeded", 429, headers={"X-RateLimit-Reset": "1767304830000"})),
        ("provider_error", "other", "rest"),
        wait_s=30,
        ask={"upstream_model": "qwen/qwen3:free"},
    ),
    Row(429, typed("rate_limit_exceeded", 429), ("rate_limit_exceeded", "other", "rest"), wait_s=5, ask=FREE),
    *(Row(500, typed(word, 500), FAILED) for word in ("server", "unmapped")),
    Row(500, "<html>oops</html>", FAILED),
    Row(502, typed("provider_unavailable", 502), FAILED),
    Row(503, typed("provider_overloaded", 503), AWAY, wait_s=5),
    Row(503, available("temporarily_unavailable", retry_after=9), AWAY, wait_s=9),
    Row(529, "", AWAY, wait_s=11, headers={"retry-after": "11"}),
]


def coded(code: int, words: str = "words") -> dict[str, Any]:
    wrapped = f"AiError: AiError: {words} ({UUID})"
    return {"errors": [{"message": wrapped, "code": code}], "success": False, "result": {}, "messages": []}


def inner(code: int, words: str = "words", param: str | None = None) -> dict[str, Any]:
    error = {"object": "error", "message": words, "type": "BadRequestError", "param": param, "code": code}
    return coded(8007, msgspec.json.encode(error).decode())


CLOUDFLARE: Final = [
    Row(401, {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}, ACCOUNT),
    Row(403, coded(10000), ACCOUNT),
    Row(403, coded(3023), ACCOUNT),
    Row(401, "", ACCOUNT),
    *(Row(403, coded(code), MODEL) for code in (5016, 5018, 3041)),
    Row(400, coded(5007), MODEL),
    Row(404, coded(3042), MODEL),
    *(Row(400, coded(code), OURS) for code in (5004, 3003, 3039)),
    *(Row(405, coded(code), OURS) for code in (5019, 5005)),
    Row(413, coded(3006), TOO_LARGE),
    *(Row(408, coded(code), AWAY) for code in (3007, 3008, 3046)),
    *(Row(429, coded(code), ACCOUNT, wait_s=7200) for code in (3036, 4006)),
    Row(
        *(429, coded(3040, "Capacity temporarily exceeded, please try again.")),
        ("rate_limit_exceeded", "once", "rest"),
        wait_s=2,
    ),
    Row(429, "", ("rate_limit_exceeded", "other", "rest"), wait_s=5),
    Row(429, coded(9999), ("rate_limit_exceeded", "other", "rest"), wait_s=60, headers={"retry-after": "60"}),
    Row(413, coded(5021), OVERLONG),
    Row(400, coded(3030, "Max context reached"), OVERLONG),
    Row(400, coded(3030, "Input prompt contains flagged content"), POLICY),
    Row(400, coded(8007, "NSFW content"), POLICY),
    Row(400, inner(400), CLIENT),
    Row(400, inner(400, "bad", "temperature"), CLIENT, param="temperature", raw={"temperature": 2}),
    Row(400, inner(400, "This model's maximum context length is 131072 tokens"), OVERLONG),
    Row(400, inner(500), FAILED),
    *(Row(status, "<html>oops</html>", FAILED) for status in (500, 502, 503, 504)),
    Row(400, coded(5024, "JSON Mode couldn't be met"), ("upstream_error", "once", "ignore")),
]


def sarvam(code: str, words: str = "words") -> dict[str, Any]:
    return {"error": {"message": words, "code": code, "request_id": None}}


SARVAM: Final = [
    Row(403, sarvam("invalid_api_key_error"), ("provider_error", "no", "open_provider")),
    Row(401, "", ("provider_error", "no", "open_provider")),
    Row(403, sarvam("authentication_error"), ("provider_error", "no", "open_provider")),
    Row(403, sarvam("other_error"), FAILED),
    Row(403, sarvam("invalid_request_error"), FAILED),
    Row(403, "<html>denied</html>", FAILED),
    Row(429, sarvam("insufficient_quota_error"), ACCOUNT),
    Row(429, sarvam("rate_limit_exceeded_error"), ("rate_limit_exceeded", "once", "rest"), wait_s=5),
    Row(
        *(503, sarvam("rate_limit_exceeded_error"), ("rate_limit_exceeded", "other", "rest")),
        wait_s=7,
        headers={"retry-after": "7"},
    ),
    Row(400, sarvam("invalid_request_error", "Prompt exceeds the context limit"), OVERLONG),
    Row(422, sarvam("unprocessable_entity_error", "token limit reached"), OVERLONG),
    Row(400, sarvam("invalid_request_error"), CLIENT),
    Row(422, sarvam("unprocessable_entity_error"), CLIENT),
    Row(
        *(422, sarvam("unprocessable_entity_error", "response_format: extra fields not permitted")),
        ("unsupported_parameter", "no", "ignore"),
        param="response_format",
        raw={"response_format": {"type": "json_object"}},
    ),
    Row(413, "", TOO_LARGE),
    Row(404, sarvam("not_found_error"), MODEL),
    *(Row(500, sarvam(code), FAILED) for code in ("internal_server_error", "model_call_error")),
    Row(500, sarvam("gateway_timeout_error"), AWAY),
    Row(504, "", AWAY),
    Row(503, sarvam("billing_service_unavailable_error"), AWAY),
    Row(503, "", AWAY),
    Row(502, "", FAILED),
]


def openai(kind: str | None = None, code: Any = None, words: str = "words", **more: Any) -> dict[str, Any]:
    return {"error": {"message": words, "type": kind, "param": None, "code": code, **more}}


COMPATIBLE: Final = [
    Row(401, {"error": "Unauthorized"}, ACCOUNT),
    Row(403, "", ACCOUNT),
    Row(401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}, ACCOUNT),
    Row(402, "", ACCOUNT),
    Row(429, openai("insufficient_quota", "insufficient_quota", "You exceeded your current quota"), ACCOUNT),
    Row(404, openai("not_found_error"), MODEL),
    Row(404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"}, MODEL),
    Row(400, openai("exceed_context_size_error", 400), OVERLONG),
    Row(400, openai("invalid_request_error", "context_length_exceeded"), OVERLONG),
    *(
        Row(400, {"object": "error", "message": words, "type": "BadRequestError", "code": 400}, OVERLONG)
        for words in (
            "This model's maximum context length is 4096 tokens.",
            "its context length is only 4096 tokens",
            "the request exceeds the available context size",
        )
    ),
    Row(500, openai("server_error", 500, "input is too large to process"), OVERLONG),
    Row(400, openai("BadRequestError", 400), CLIENT),
    Row(422, {"detail": [{"msg": "x"}]}, CLIENT),
    Row(400, openai(words="Unknown value for top_k"), CLIENT, param="top_k", raw={"top_k": 1}),
    Row(400, openai(words="Unknown value for top_k"), CLIENT),
    Row(400, openai("invalid_request_error", words="invalid image input"), CLIENT, param="messages"),
    Row(400, openai("invalid_request_error", "content_policy_violation"), POLICY),
    Row(413, "", TOO_LARGE),
    Row(429, "", ("rate_limit_exceeded", "other", "rest"), wait_s=5),
    Row(429, "", ("rate_limit_exceeded", "other", "rest"), wait_s=7, headers={"retry-after": "7"}),
    Row(501, openai("not_supported_error", 501), ("unsupported_parameter", "no", "ignore")),
    Row(503, openai("unavailable_error", 503, "Loading model"), ("provider_error", "once", "rest"), wait_s=5),
    *(Row(status, openai("api_error"), FAILED) for status in (500, 502, 503)),
    Row(504, "", AWAY),
    Row(405, "", OURS),
    Row(302, "", FAILED),
]
TABLES: Final = {
    "openrouter": OPENROUTER,
    "cloudflare": CLOUDFLARE,
    "sarvam": SARVAM,
    "compatible": COMPATIBLE,
}
ROWS: Final = [
    pytest.param(name, row, id=f"{name}-{index}-{row.status}")
    for name, rows in TABLES.items()
    for index, row in enumerate(rows)
]
