"""Sarvam's chat completions: a short list of fields, everything else refused (wire/sarvam.md sections 2, 6, 7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from app.core.errors import Problem, UpstreamError
from app.providers.dialect import (
    ACCOUNT,
    BUSY,
    COMMON,
    FAILED,
    FIRST_BYTE_S,
    MODEL,
    SLOW,
    THROTTLED,
    CancelSemantics,
    ChatAsk,
    Outgoing,
    Verdict,
    json_headers,
    request_body,
    retry_after_s,
    status_verdict,
    unsupported,
    upstream_error,
)
from app.providers.openai_compatible import (
    Fault,
    NullContent,
    client_verdict,
    fault_of,
    openai_error,
    plain_message,
)

BASE_URL: Final = "https://api.sarvam.ai"
FIELDS: Final = COMMON | {"n", "tool_choice"}
#: Replayed messages may carry more (`refusal`, `annotations`); unknown fields are refused there as elsewhere.
MESSAGE_FIELDS: Final = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})


class Sarvam:
    """Speaks for one subscription key; the key travels in Sarvam's own header only."""

    name = "sarvam"
    first_byte_s = FIRST_BYTE_S
    probe_path = "/v1/models"

    def __init__(
        self, api_key: str, *, null_content: NullContent = "keep", now: Callable[[], float] = time.time
    ) -> None:
        self._api_key = api_key
        self._null_content = null_content
        self._now = now
        self.headers = json_headers({"api-subscription-key": api_key})

    def chat(self, ask: ChatAsk) -> Outgoing:
        messages = [strict_message(plain_message(message, self._null_content)) for message in ask.raw["messages"]]
        body, dropped = request_body(ask, messages, FIELDS)
        return Outgoing("/v1/chat/completions", self.headers, msgspec.json.encode(body), tuple(dropped))

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, model: str, ask: ChatAsk) -> UpstreamError:
        wait_s = retry_after_s(headers.get("retry-after"), self._now())
        return self._judged(openai_error(body), status, ask, wait_s)

    def fault(self, error: dict[str, Any], ask: ChatAsk) -> UpstreamError:
        fault = fault_of(error)
        return self._judged(fault, IN_BAND_STATUS.get(fault.code, 500), ask, None)

    def cancel_semantics(self, upstream_provider: str | None, model: str) -> CancelSemantics:
        return "unknown"

    def _judged(self, fault: Fault, status: int, ask: ChatAsk, wait_s: float | None) -> UpstreamError:
        verdict = verdict_of(fault, status, ask)
        if verdict is THROTTLED and (wait_s is None or wait_s < WORTH_WAITING_S):
            verdict = replace(verdict, retry="once")
        return upstream_error(verdict, fault.text, status=status, secret=self._api_key, wait_s=wait_s)


def strict_message(message: dict[str, Any]) -> dict[str, Any]:
    """Known fields only, and text as one string: lists of parts are not documented there."""
    known = {name: value for name, value in message.items() if name in MESSAGE_FIELDS}
    if isinstance(known.get("content"), list):
        known["content"] = "\n".join(text_of(part) for part in known["content"])
    return known


def text_of(part: dict[str, Any]) -> str:
    text = part.get("text", part.get("refusal"))
    if not isinstance(text, str):
        raise Problem("invalid_request_error", "This model reads text only. Remove the other parts.", "messages")
    return text


WORTH_WAITING_S: Final = 2.0
BY_CODE: Final[dict[str, Verdict]] = {
    "invalid_api_key_error": replace(ACCOUNT, retry="no"),
    "authentication_error": replace(ACCOUNT, retry="no"),
    "insufficient_quota_error": ACCOUNT,
    "rate_limit_exceeded_error": THROTTLED,
    "not_found_error": MODEL,
    "internal_server_error": FAILED,
    "model_call_error": FAILED,
    "gateway_timeout_error": SLOW,
    "billing_service_unavailable_error": BUSY,
}
#: 403 beyond a bad key is seen to pass on a retry.
OWN_STATUS: Final[dict[int, Verdict]] = {401: replace(ACCOUNT, retry="no"), 403: FAILED, 503: BUSY}
IN_BAND_STATUS: Final = {"invalid_request_error": 400, "unprocessable_entity_error": 422}


def verdict_of(fault: Fault, status: int, ask: ChatAsk) -> Verdict:
    """By code, then status. Whether a refused `response_format` exists at all differs by model: it is named so."""
    if (verdict := BY_CODE.get(fault.code)) is not None:
        return verdict
    if status not in (400, 422):
        return status_verdict(status, OWN_STATUS)
    verdict = client_verdict(fault, ask)
    if verdict.param == "response_format":
        problem = unsupported("response_format")
        return Verdict(problem.code, problem.message, param=problem.param)
    return verdict
