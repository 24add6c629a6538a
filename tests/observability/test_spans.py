"""The spans of a request: what they are called, when they were, and what they say by the GenAI conventions."""

from __future__ import annotations

from dataclasses import fields

import pytest

from app.observability import names
from app.observability.facts import AttemptFacts
from app.observability.spans import Span, attempt_spans, request_span
from tests.observability.facts import CHAT, a_call, a_request

BEGAN_NS = 1_700_000_000_000_000_000


def test_a_request_is_one_span_with_its_settlement() -> None:
    span = request_span(a_request(a_call()))
    assert (span.name, span.start_ns, span.end_ns, span.error) == (
        f"POST {CHAT}",
        BEGAN_NS,
        BEGAN_NS + 3_250_000_000,
        "",
    )
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "callmissed.request_id": "req_1",
        "gen_ai.response.id": "chatcmpl-1",
        "callmissed.outcome": "completed",
        "callmissed.settlement_basis": "provider_usage",
        "callmissed.credits": 2.0,
    }


def test_a_question_to_a_provider_is_a_child_with_the_names_of_the_convention() -> None:
    (span,) = attempt_spans(a_request(a_call()))
    assert (span.name, span.start_ns, span.end_ns) == (
        "chat @cf/kimi",
        BEGAN_NS + 500_000_000,
        BEGAN_NS + 2_500_000_000,
    )
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "cloudflare",
        "gen_ai.request.model": "@cf/kimi",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "kimi-k2.6-0905",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }


def test_a_failed_attempt_says_why_and_only_the_last_one_has_the_answer() -> None:
    call = a_call()
    failed = AttemptFacts("sarvam", "m", 10.1, 10.2, result="provider", status=503, code="provider_error")
    call.attempts.insert(0, failed)
    first, second = attempt_spans(a_request(call))
    assert first.error == "provider_error"
    assert first.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sarvam",
        "gen_ai.request.model": "m",
        "http.response.status_code": 503,
        "error.type": "provider_error",
    }
    assert names.INPUT_TOKENS in second.attributes


@pytest.mark.parametrize(
    ("status", "is_error"), [(400, ""), (402, ""), (429, ""), (500, "internal_error"), (503, "internal_error")]
)
def test_what_the_client_did_wrong_is_no_error_of_ours(status: int, is_error: str) -> None:
    span = request_span(a_request(None, status=status, code="internal_error"))
    assert span.error == is_error
    assert span.attributes[names.ERROR_TYPE] == "internal_error"


def test_an_error_told_inside_a_stream_is_an_error_although_its_status_was_200() -> None:
    assert request_span(a_request(a_call(), status=200, code="upstream_error")).error == "upstream_error"


def test_a_cancelled_call_says_when() -> None:
    span = request_span(a_request(a_call(phase="mid-answer", outcome="cancelled")))
    assert span.attributes[names.CANCELLED_AT] == "mid-answer"


def test_a_request_without_a_call_has_one_span() -> None:
    assert list(attempt_spans(a_request())) == []


def test_words_from_outside_are_cut() -> None:
    call = a_call(response_model="m" * 1000)
    call.attempts[0].upstream_model = "u" * 1000
    (span,) = attempt_spans(a_request(call))
    assert max(len(value) for value in span.attributes.values() if isinstance(value, str)) == 100
    assert len(span.name) < 120


def test_a_span_is_nothing_but_names_times_and_attributes() -> None:
    assert [each.name for each in fields(Span)] == ["name", "start_ns", "end_ns", "attributes", "error"]
