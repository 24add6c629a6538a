"""Any OpenAI-compatible server, with a key or (`local`) without (wire/openai-compatible.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scripts.simulator.dialects.dialect import Dialect, ErrorRow, JsonObject


def _row(status: int, kind: str, code: str | None, message: str, param: str | None = None) -> ErrorRow:
    return ErrorRow(status, kind, message, {"param": param, "code": code})


def _envelope(row: ErrorRow) -> JsonObject:
    return {"error": {"message": row.message, "type": row.code, **row.more}}


def _stream_error(row: ErrorRow, chunk: JsonObject) -> JsonObject:
    return _envelope(row)


_INVALID: Final = "invalid_request_error"

OPENAI: Final = Dialect(
    name="openai",
    id_prefix="chatcmpl-",
    key_header="authorization",
    reasoning_key="reasoning_content",
    usage_at="apart_when_asked",
    envelope=_envelope,
    stream_error=_stream_error,
    done_after_error=True,
    constants={"system_fingerprint": "fp_simulator"},
    message_constants={"refusal": None},
    null_usage="when_asked",
    errors={
        "bad_key": _row(401, _INVALID, "invalid_api_key", "Incorrect API key provided."),
        "no_credit": _row(402, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
        "forbidden": _row(403, "permission_error", "permission_denied", "You are not allowed to use this model."),
        "not_found": _row(404, "NotFoundError", "model_not_found", "The model does not exist.", "model"),
        "rate_limited": _row(429, "rate_limit_error", "rate_limit_exceeded", "Rate limit reached for requests."),
        "context_length": _row(
            400, _INVALID, "context_length_exceeded", "This model's maximum context length is 8192 tokens.", "messages"
        ),
        "content_policy": _row(
            400, _INVALID, "content_policy_violation", "Your request was rejected by our safety system."
        ),
        "bad_request": _row(400, _INVALID, None, "The request is not valid."),
        "server_error": _row(500, "InternalServerError", None, "The server had an error."),
        "bad_gateway": _row(502, "api_error", None, "Bad gateway."),
        "unavailable": _row(503, "unavailable_error", None, "Loading model"),
        "overloaded": _row(529, "overloaded_error", None, "Overloaded."),
    },
)

#: The same server on a developer's machine: it asks for no key.
LOCAL: Final = replace(OPENAI, name="local", key_header=None)
