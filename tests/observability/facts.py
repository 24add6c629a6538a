"""Requests and calls as they might have been: what the observability tests tell about."""

from __future__ import annotations

from typing import Any

from app.core.deltas import Usage
from app.observability.facts import AttemptFacts, CallFacts, RequestFacts
from app.observability.trace import NO_TRACE

CHAT = "/v1/chat/completions"


def a_call(**changes: Any) -> CallFacts:
    """Three seconds, half of them the provider's, two credits."""
    call = CallFacts("req_1", CHAT, 10.0, id="chatcmpl-1", model="kimi-k2.6", streamed=True)
    call.attempts.append(AttemptFacts("cloudflare", "@cf/kimi", began=10.5, ended=12.5, waited_s=1.5, result="ok"))
    call.first_content, call.ended = 11.0, 13.0
    call.outcome, call.basis, call.charge_ucr = "completed", "provider_usage", 2_000_000
    call.usage, call.finish_reasons = Usage(100, 20, cached=60, reasoning=5), ("stop",)
    call.response_model = "kimi-k2.6-0905"
    for name, value in changes.items():
        setattr(call, name, value)
    return call


def a_request(call: CallFacts | None = None, **changes: Any) -> RequestFacts:
    request = RequestFacts(
        request_id="req_1",
        method="POST",
        endpoint=CHAT,
        status=200,
        at_us=1_700_000_000_000_000,
        began=10.0,
        ended=13.25,
        code=None,
        left_at=None,
        trace=NO_TRACE,
        call=call,
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request
