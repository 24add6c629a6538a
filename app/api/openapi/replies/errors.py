"""The two envelopes of errors: OpenAI's on every surface, Anthropic's on its own (spec.md sections 4.1 and 9.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType


class ErrorObject(Struct, frozen=True, kw_only=True):
    message: Annotated[str, Meta(description="what is wrong and what to do next")]
    type: Literal["invalid_request_error", "insufficient_quota", "rate_limit_error", "server_error"]
    code: Annotated[str, Meta(description="a fixed word to decide by, see the list of codes")]
    param: Annotated[str | None, Meta(description="the field that is wrong, such as `messages[0].role`")]


class Error(Struct, frozen=True, kw_only=True):
    """Every refusal and failure, in a body or as the last event of a stream."""

    error: ErrorObject


class AnthropicErrorDetails(Struct, frozen=True, kw_only=True):
    error_code: Annotated[str, Meta(description="the gateway's own code")]
    param: str | UnsetType = UNSET


class AnthropicErrorObject(Struct, frozen=True, kw_only=True):
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "api_error",
        "overloaded_error",
    ]
    message: str
    details: AnthropicErrorDetails


class AnthropicError(Struct, frozen=True, kw_only=True):
    """The same in Anthropic's form."""

    type: Literal["error"]
    error: AnthropicErrorObject
    request_id: str
