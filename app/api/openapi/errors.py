"""Refusals and failures: what each code means, which ones go together, and the replies that carry them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.api.openapi import headers
from app.api.openapi.described import JSON, Form, Json
from app.api.openapi.replies.errors import AnthropicError, Error
from app.api.openapi.schemas import REF
from app.core.errors import CODES, Problem
from app.core.messages_errors import status_of

#: Every answer may fail so.
OURS: Final = ("internal_error", "storage_unavailable")
#: What may be wrong with a body, and with a query.
BODY: Final = (
    *("invalid_request_error", "invalid_value", "invalid_type", "missing_required_parameter"),
    "request_too_large",
)
#: A key that is none, is over, belongs to a suspended organisation, or is sent from somewhere else.
KEY: Final = ("invalid_api_key", "api_key_expired", "account_inactive", "domain_not_allowed", "permission_denied")
LIMITS: Final = (
    *("rate_limit_exceeded", "too_many_concurrent_requests", "quota_exceeded", "credits_held"),
    *("insufficient_credits", "budget_exceeded"),
)
MODEL: Final = ("model_not_found", "model_not_allowed", "model_not_available", "model_under_maintenance")
PROVIDER: Final = ("upstream_error", "provider_error", "content_policy_violation", "context_length_exceeded")
IDEMPOTENCY: Final = ("idempotency_key_reused", "idempotency_in_progress")

#: When a code is answered, for readers; its status and type are in `app.core.errors`.
MEANINGS: Final[dict[str, str]] = {
    "invalid_request_error": "The body is no JSON object or is too deep, or fields do not go together.",
    "invalid_value": "A field is out of its range or not one of its values; `param` names it.",
    "invalid_type": "A field has the wrong type; `param` names it.",
    "missing_required_parameter": "A field is missing; `param` names it.",
    "unsupported_image_input": "An image was sent to a model that takes none.",
    "unsupported_parameter": "A field that would shape the answer is not to be had; remove it.",
    "unsupported_tool_type": "A tool that is no function.",
    "voice_agent_only_model": "The model works in voice sessions only.",
    "context_length_exceeded": "Prompt and answer are longer than the model's context window.",
    "content_policy_violation": "The provider declined the content.",
    "invalid_api_key": "The key is missing, malformed, unknown or revoked.",
    "api_key_expired": "The key is past its last day.",
    "token_expired": "The session is over: log in again.",
    "session_required": "Only a logged-in member may do this; an API key cannot.",
    "insufficient_credits": "The balance does not cover the call.",
    "budget_exceeded": "The monthly budget of the key or the organisation is spent.",
    "permission_denied": "The key lacks the permission or scope; the message names it.",
    "domain_not_allowed": "The key may not be used from this origin.",
    "search_provider_not_allowed": "The key may not search with this provider.",
    "model_not_available": "The model is not in the plan.",
    "model_not_allowed": "The key may not use the model.",
    "account_inactive": "The organisation is suspended.",
    "csrf_failed": "A request with a session came from another origin than the dashboard's.",
    "role_required": "The member's role does not suffice; the message names the one that does.",
    "model_not_found": "No model has this name, or none for this endpoint.",
    "not_found": "There is nothing with this id, or it belongs to somebody else.",
    "method_not_allowed": "The path does not take this method; `Allow` names those it takes.",
    "conflict": "It is there already, or in a state that forbids this.",
    "idempotency_key_reused": "The `Idempotency-Key` was used for another request, or its answer was not kept.",
    "idempotency_in_progress": "The first request with this `Idempotency-Key` is still running.",
    "request_too_large": "The body, the file or a text is larger than allowed.",
    "window_closed": "The user has not written on WhatsApp within 24 hours: only a template can be sent.",
    "rate_limit_exceeded": "Too many requests in a minute, here or at the provider; wait for `Retry-After`.",
    "too_many_concurrent_requests": "Too many of your requests are running at once.",
    "credits_held": "The balance would suffice, but your own calls in flight hold it.",
    "quota_exceeded": "The plan's calls for the month are used up.",
    "internal_error": "A fault of the gateway; nothing was charged.",
    "not_implemented": "There is nothing behind this path yet.",
    "upstream_error": "The provider answered badly; nothing was charged.",
    "storage_unavailable": "The gateway's database cannot answer; nothing was charged.",
    "provider_error": "No provider could be reached in time; nothing was charged.",
    "model_under_maintenance": "The model is down for now; the message names another.",
}


class Replies:
    """The replies of all operations: those that are the same are one component. `components` is filled by `of`."""

    def __init__(self) -> None:
        self.components: Json = {}

    def of(self, codes: Iterable[str], form: Form = "openai") -> dict[int, Json]:
        """By status, a reference to the reply with those of the codes that it may carry."""
        by_status: dict[int, list[str]] = {}
        for code in dict.fromkeys((*codes, *OURS)):
            status = status_of(Problem(code, "")) if form == "anthropic" else CODES[code][0]
            by_status.setdefault(status, []).append(code)
        return {status: self._reference(status, by_status[status], form) for status in sorted(by_status)}

    def _reference(self, status: int, codes: list[str], form: Form) -> Json:
        name = ".".join((*(() if form == "openai" else (form,)), str(status), *sorted(codes)))
        if name not in self.components:
            self.components[name] = _reply(status, codes, form)
        return {"$ref": f"#/components/responses/{name}"}


def schema(codes: Iterable[str], form: Form) -> Json:
    """The envelope with one of these codes."""
    match form:
        case "openai":
            return _narrowed(Error, ("error", "code"), codes)
        case "anthropic":
            return _narrowed(AnthropicError, ("error", "details", "error_code"), codes)
        case "either":
            return {"anyOf": [schema(codes, "openai"), schema(codes, "anthropic")]}


def _narrowed(envelope: type, at: tuple[str, ...], codes: Iterable[str]) -> Json:
    narrowed: Json = {"enum": list(codes)}
    for name in reversed(at):
        narrowed = {"properties": {name: narrowed}}
    return {"allOf": [{"$ref": REF + envelope.__name__}, narrowed]}


def _reply(status: int, codes: list[str], form: Form) -> Json:
    named = headers.BY_STATUS.get(status, ())
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "headers": headers.references(named if form == "openai" else ("request-id", *named)),
        "content": {JSON: {"schema": schema(codes, form)}},
    }
