"""Sarvam AI chat (wire/sarvam.md sections 2, 6 and 7)."""

from __future__ import annotations

from typing import Final

from scripts.simulator.dialects.dialect import Dialect, ErrorRow, JsonObject, Tokens

_REQUEST_ID: Final = "20260801_00000000-0000-4000-8000-000000000000"


def _usage(tokens: Tokens) -> JsonObject:
    """Detail objects are free-form maps there: they hold only what is not 0."""
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning} if tokens.reasoning else {},
        "prompt_tokens_details": {"cached_tokens": tokens.cached} if tokens.cached else {},
    }


def _envelope(row: ErrorRow) -> JsonObject:
    return {"error": {"message": row.message, "code": row.code, "request_id": _REQUEST_ID}}


def _stream_error(row: ErrorRow, chunk: JsonObject) -> JsonObject:
    return _envelope(row)


SARVAM: Final = Dialect(
    name="sarvam",
    id_prefix="",
    key_header="api-subscription-key",
    reasoning_key="reasoning_content",
    usage_at="with_finish",
    usage=_usage,
    envelope=_envelope,
    stream_error=_stream_error,
    constants={"service_tier": None, "system_fingerprint": None},
    message_constants={"reasoning_content": None, "refusal": None},
    null_usage="always",
    fields=frozenset(
        [
            "messages",
            "model",
            "temperature",
            "top_p",
            "reasoning_effort",
            "max_tokens",
            "stream",
            "stop",
            "n",
            "seed",
            "frequency_penalty",
            "presence_penalty",
            "wiki_grounding",
            "tools",
            "tool_choice",
            "response_format",
        ]
    ),
    errors={
        "bad_key": ErrorRow(403, "invalid_api_key_error", "Invalid API key"),
        "no_credit": ErrorRow(429, "insufficient_quota_error", "No credits available."),
        "forbidden": ErrorRow(403, "forbidden", "Forbidden"),
        "not_found": ErrorRow(404, "not_found_error", "Model not found"),
        "rate_limited": ErrorRow(429, "rate_limit_exceeded_error", "Rate limit exceeded"),
        "context_length": ErrorRow(
            400, "invalid_request_error", "Prompt exceeds the model's maximum context length of 8192 tokens"
        ),
        "content_policy": ErrorRow(400, "invalid_request_error", "The prompt was blocked by the content policy"),
        "bad_request": ErrorRow(400, "invalid_request_error", "The request is not valid"),
        "server_error": ErrorRow(500, "internal_server_error", "Internal server error"),
        "bad_gateway": ErrorRow(502, "model_call_error", "Model call failed"),
        "unavailable": ErrorRow(503, "billing_service_unavailable_error", "Service unavailable"),
        "overloaded": ErrorRow(529, "internal_server_error", "Overloaded"),
    },
)
