"""From the facts of a request to its spans: one for the request, one child for each question to a provider. Pure.

They are made when all is over, so a request in motion pays nothing for them. GenAI semantic conventions, without
their opt-in attributes: those carry content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.money import UCR_PER_CREDIT
from app.observability import names
from app.observability.facts import AttemptFacts, CallFacts, RequestFacts

#: Asked every few seconds by machines: traces of them would drown the others.
UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
MODEL_SHOWN: Final = 100
SERVER_FAULT: Final = 500
Attributes = dict[str, str | bool | int | float | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Span:
    """Times are nanoseconds since 1970. `error` is empty where all went well."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes
    error: str = ""


def request_span(request: RequestFacts) -> Span:
    attributes: Attributes = {
        names.HTTP_METHOD: request.method,
        names.HTTP_ROUTE: request.endpoint,
        names.HTTP_STATUS: request.status,
        names.REQUEST_ID: request.request_id,
    }
    error = ""
    if request.code is not None:
        attributes[names.ERROR_TYPE] = request.code
        error = request.code if request.status >= SERVER_FAULT or request.call is not None else ""
    if request.call is not None and request.call.id:
        attributes |= _settlement(request.call)
    return Span(
        f"{request.method} {request.endpoint}", request.at_us * 1000, _ns(request, request.ended), attributes, error
    )


def attempt_spans(request: RequestFacts) -> Iterator[Span]:
    call = request.call
    for attempt in call.attempts if call is not None else ():
        answered = call is not None and attempt is call.attempts[-1] and attempt.result in ("ok", "left")
        attributes = _attempt(attempt) | (_answer(call) if call is not None and answered else {})
        operation = "chat" if call is None else call.operation
        attributes[names.OPERATION] = operation
        yield Span(
            f"{operation} {attempt.upstream_model[:MODEL_SHOWN]}",
            _ns(request, attempt.began),
            _ns(request, attempt.ended),
            attributes,
            attempt.code or "",
        )


def _settlement(call: CallFacts) -> Attributes:
    attributes: Attributes = {
        names.RESPONSE_ID: call.id,
        names.OUTCOME: call.outcome,
        names.BASIS: call.basis,
        names.CREDITS_CHARGED: call.charge_ucr / UCR_PER_CREDIT,
    }
    if call.phase is not None:
        attributes[names.CANCELLED_AT] = call.phase
    return attributes


def _attempt(attempt: AttemptFacts) -> Attributes:
    attributes: Attributes = {
        names.PROVIDER: attempt.provider,
        names.REQUEST_MODEL: attempt.upstream_model[:MODEL_SHOWN],
    }
    if attempt.status is not None:
        attributes[names.HTTP_STATUS] = attempt.status
    if attempt.code is not None:
        attributes[names.ERROR_TYPE] = attempt.code
    return attributes


def _answer(call: CallFacts) -> Attributes:
    attributes: Attributes = {names.REQUEST_STREAM: call.streamed}
    if call.response_model:
        attributes[names.RESPONSE_MODEL] = call.response_model[:MODEL_SHOWN]
    if call.finish_reasons:
        attributes[names.FINISH_REASONS] = call.finish_reasons
    if call.first_content is not None:
        attributes[names.TIME_TO_FIRST_CHUNK] = call.first_content - call.attempts[-1].began
    if (usage := call.usage) is not None:
        attributes |= {names.INPUT_TOKENS: usage.prompt, names.OUTPUT_TOKENS: usage.completion}
        if usage.cached:
            attributes[names.CACHED_TOKENS] = usage.cached
        if usage.reasoning:
            attributes[names.REASONING_TOKENS] = usage.reasoning
    return attributes


def _ns(request: RequestFacts, at: float) -> int:
    return request.at_us * 1000 + int((at - request.began) * 1e9)
