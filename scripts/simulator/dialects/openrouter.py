"""OpenRouter (wire/openrouter.md sections 3, 4 and 6)."""

from __future__ import annotations

from typing import Any, Final

from scripts.simulator.dialects.dialect import Dialect, ErrorRow, JsonObject, Tokens, openai_usage

PROVIDER: Final = "Simulated"
#: USD per token, for `usage.cost` and the model list.
PROMPT_USD: Final = 0.0000005
COMPLETION_USD: Final = 0.0000015


def cost(tokens: Tokens) -> float:
    """USD, as this provider would bill it."""
    return round(tokens.prompt * PROMPT_USD + tokens.completion * COMPLETION_USD, 10)


def _usage(tokens: Tokens) -> JsonObject:
    return openai_usage(tokens) | {
        "cost": cost(tokens),
        "is_byok": False,
        "cost_details": {"upstream_inference_cost": None},
    }


def _row(status: int, error_type: str, message: str, **metadata: Any) -> ErrorRow:
    return ErrorRow(status, error_type, message, metadata)


def _envelope(row: ErrorRow) -> JsonObject:
    return {
        "error": {"code": row.status, "message": row.message, "metadata": {"error_type": row.code, **row.more}},
        "user_id": "user_simulated",
    }


def _stream_error(row: ErrorRow, chunk: JsonObject) -> JsonObject:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return {**chunk, "error": _envelope(row)["error"], "choices": [choice]}


OPENROUTER: Final = Dialect(
    name="openrouter",
    id_prefix="gen-",
    key_header="authorization",
    reasoning_key="reasoning",
    usage_at="apart",
    usage=_usage,
    envelope=_envelope,
    stream_error=_stream_error,
    preamble=b": OPENROUTER PROCESSING\n\n",
    id_header="X-Generation-Id",
    constants={"provider": PROVIDER},
    native_finish=True,
    message_constants={"refusal": None, "reasoning": None},
    errors={
        "bad_key": _row(401, "authentication", "No auth credentials found"),
        "no_credit": _row(402, "payment_required", "Insufficient credits. Add more or lower max_tokens."),
        "forbidden": _row(403, "permission_denied", "This key may not use the model."),
        "not_found": _row(404, "not_found", "No endpoints found for this model."),
        "rate_limited": _row(429, "rate_limit_exceeded", "Rate limit exceeded"),
        "context_length": _row(
            400, "context_length_exceeded", "This endpoint's maximum context length is 8192 tokens."
        ),
        "content_policy": _row(
            403,
            "content_policy_violation",
            "Your input was flagged.",
            reasons=["violence"],
            flagged_input="...",
            provider_name=PROVIDER,
            model_slug="simulated",
        ),
        "bad_request": _row(400, "invalid_request", "Input validation error"),
        "server_error": _row(500, "server", "Internal Server Error"),
        "bad_gateway": _row(502, "provider_unavailable", "Provider returned error", provider_name=PROVIDER),
        "unavailable": _row(503, "provider_overloaded", "The provider is overloaded."),
        "overloaded": _row(529, "provider_overloaded", "The provider is overloaded."),
    },
)
