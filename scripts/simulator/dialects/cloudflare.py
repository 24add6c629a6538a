"""Cloudflare Workers AI, its OpenAI endpoint (wire/cloudflare.md sections 3, 7 and 8)."""

from __future__ import annotations

from typing import Final

import msgspec

from scripts.simulator.dialects.dialect import Dialect, ErrorRow, JsonObject

_TRACE: Final = "00000000-0000-4000-8000-000000000000"
_BAD_TOKEN: Final = 10000
#: Errors of the backend behind the service come as JSON inside the message.
_BACKEND: Final = 8007


def _envelope(row: ErrorRow) -> JsonObject:
    if row.code == _BAD_TOKEN:
        return {"success": False, "errors": [{"code": _BAD_TOKEN, "message": row.message}]}
    text = row.message
    if row.code == _BACKEND:
        inner = {"object": "error", "message": text, "type": row.more["type"], "param": None, "code": row.more["code"]}
        text = msgspec.json.encode(inner).decode()
    error = {"message": f"AiError: AiError: {text} ({_TRACE})", "code": row.code}
    return {"errors": [error], "success": False, "result": {}, "messages": []}


def _stream_error(row: ErrorRow, chunk: JsonObject) -> JsonObject:
    return _envelope(row)


def _backend(status: int, kind: str, message: str) -> ErrorRow:
    return ErrorRow(status, _BACKEND, message, {"type": kind, "code": status})


CLOUDFLARE: Final = Dialect(
    name="cloudflare",
    id_prefix="chatcmpl-",
    key_header="authorization",
    reasoning_key="reasoning_content",
    usage_at="apart_when_asked",
    envelope=_envelope,
    stream_error=_stream_error,
    message_constants={"refusal": None},
    errors={
        "bad_key": ErrorRow(401, _BAD_TOKEN, "Authentication error"),
        "no_credit": ErrorRow(429, 3036, "you have used up your daily free allocation of 10,000 neurons"),
        "forbidden": ErrorRow(403, 3023, "account blocked"),
        "not_found": ErrorRow(404, 5007, "No such model or task"),
        "rate_limited": ErrorRow(429, 3040, "Capacity temporarily exceeded, please try again."),
        "context_length": ErrorRow(
            413, 5021, "The estimated number of input and output tokens exceeds this model's context window limit"
        ),
        "content_policy": ErrorRow(400, 3030, "Input prompt has been flagged"),
        "bad_request": _backend(400, "BadRequestError", "the request is not valid"),
        "server_error": _backend(500, "InternalServerError", "internal server error"),
        "bad_gateway": _backend(502, "BadGatewayError", "bad gateway"),
        "unavailable": _backend(503, "ServiceUnavailableError", "service unavailable"),
        "overloaded": _backend(529, "OverloadedError", "overloaded"),
    },
)
