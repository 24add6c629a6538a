"""What is counted when a request and its call are over: each figure once, under labels of closed sets."""

from __future__ import annotations

from dataclasses import fields

import pytest
import trio
from trio.testing import MockClock

from app.core.errors import UpstreamError
from app.observability import names
from app.observability.facts import AttemptFacts, RequestFacts
from app.observability.metrics import Metrics
from app.observability.observer import AT_ONCE, WRITE_EVERY_S, Observer
from tests.observability.facts import CHAT, a_call, a_request
from tests.observability.reading import Page

MODEL = {"model": "kimi-k2.6"}
#: Labels that any metric may have. None of them names a tenant, a key or a request.
LABELS = {
    *("endpoint", "status", "code", "model", "provider", "outcome", "basis", "phase", "class", "direction", "state"),
    *("whose", "reason", "part"),  # of channels
}


async def page_after(*requests: RequestFacts) -> Page:
    """The page of a gateway that has answered these."""
    metrics = Metrics()
    for request in requests:
        if request.call is not None and request.call.id:
            metrics.call_ended(request.call)
        metrics.request_ended(request)
    return await Page.of_metrics(metrics)


async def test_a_good_call_is_counted_once_everywhere() -> None:
    page = await page_after(a_request(a_call()))
    assert page.value("callmissed_requests_total", endpoint=CHAT, status="200") == 1
    assert page.value("callmissed_calls_total", endpoint=CHAT, outcome="completed", **MODEL) == 1
    assert page.value("callmissed_settlements_total", basis="provider_usage") == 1
    assert page.value("callmissed_upstream_attempts_total", provider="cloudflare", **{"class": "ok"}) == 1
    assert page.value("callmissed_credits_charged_total", **MODEL) == 2
    tokens = {each: page.value("callmissed_tokens_total", direction=each, **MODEL) for each in ("input", "output")}
    assert tokens == {"input": 100, "output": 20}
    parts = {each: page.value("callmissed_tokens_total", direction=each, **MODEL) for each in ("cached", "reasoning")}
    assert parts == {"cached": 60, "reasoning": 5}


async def test_times_are_those_of_the_request_the_call_the_first_token_and_our_own_part() -> None:
    page = await page_after(a_request(a_call(blocked_s=0.5, paused_s=0.25)))
    assert page.value("callmissed_request_duration_seconds_sum", endpoint=CHAT) == 3.25
    assert page.value("callmissed_call_duration_seconds_sum", endpoint=CHAT, **MODEL) == 3
    assert page.value("callmissed_time_to_first_token_seconds_sum", provider="cloudflare", **MODEL) == 1
    assert page.value("callmissed_overhead_seconds_sum", endpoint=CHAT) == pytest.approx(3.25 - 1.5 - 0.5 - 0.25)
    assert page.value("callmissed_sender_blocked_seconds_total") == 0.5


async def test_a_refusal_before_admission_is_a_request_and_a_code_and_no_call() -> None:
    page = await page_after(a_request(a_call(id=""), status=402, code="insufficient_credits"))
    assert page.value("callmissed_refusals_total", code="insufficient_credits") == 1
    assert page.value("callmissed_requests_total", endpoint=CHAT, status="402") == 1
    assert not {name for name, _ in page if name.startswith(("callmissed_calls", "callmissed_overhead"))}


async def test_a_client_that_left_is_counted_by_phase_with_the_lag_of_the_upstream_close() -> None:
    page = await page_after(a_request(a_call(phase="mid-answer", outcome="cancelled"), left_at=12.4))
    assert page.value("callmissed_cancels_total", phase="mid-answer") == 1
    assert page.value("callmissed_upstream_close_lag_seconds_count") == 1
    assert page.value("callmissed_upstream_close_lag_seconds_sum") == pytest.approx(0.1)


async def test_a_client_that_left_after_the_end_has_no_close_lag() -> None:
    page = await page_after(a_request(a_call(), left_at=12.9))
    assert page.value("callmissed_upstream_close_lag_seconds_count") == 0


async def test_a_free_call_counts_neither_tokens_nor_credits() -> None:
    page = await page_after(a_request(a_call(basis="none", outcome="failed", charge_ucr=0)))
    assert page.value("callmissed_settlements_total", basis="none") == 1
    assert not {name for name, _ in page if name.startswith(("callmissed_tokens", "callmissed_credits_charged"))}


async def test_what_could_not_be_collected_is_told() -> None:
    page = await page_after(a_request(a_call(uncollected_ucr=500_000)))
    assert page.value("callmissed_credits_uncollected_total") == 0.5


async def test_heartbeats_and_sdk_retries_are_counted() -> None:
    page = await page_after(a_request(a_call(heartbeats=3, sdk_retries=2)), a_request(a_call(heartbeats=1)))
    assert page.value("callmissed_heartbeats_total") == 4
    assert page.value("callmissed_sdk_retries_total") == 1


@pytest.mark.parametrize(
    ("breaker", "fault"),
    [
        ("ignore", "request"),
        ("count", "provider"),
        ("rest", "provider"),
        ("open_model", "provider"),
        ("open_provider", "ours"),
    ],
)
def test_a_failed_attempt_is_counted_by_whose_fault_it_was(breaker: str, fault: str) -> None:
    attempt = AttemptFacts("cloudflare", "@cf/kimi", 1.0)
    attempt.fail(UpstreamError("upstream_error", "no", breaker=breaker, status=500), 2.0)  # type: ignore[arg-type]
    assert (attempt.result, attempt.status, attempt.code, attempt.ended) == (fault, 500, "upstream_error", 2.0)


def test_labels_come_from_closed_sets_only() -> None:
    assert {label for family in names.FAMILIES for label in family.labels} <= LABELS


def test_every_histogram_has_buckets_and_nothing_else_has() -> None:
    assert [each.name for each in names.FAMILIES if bool(each.buckets) != (each.kind == "histogram")] == []


async def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.request_ended(a_request())
    page = await Page.of_metrics(other)
    assert page.value("callmissed_requests_total", endpoint=CHAT, status="200") == 0


async def test_a_figure_that_cannot_be_counted_does_not_break_the_others() -> None:
    observer = Observer()
    broken = a_call(usage=object())
    with pytest.raises(AttributeError):
        Metrics().call_ended(broken)
    observer.call_ended(broken)
    observer.call_ended(a_call())
    observer.write_down()
    page = await Page.of_metrics(observer.metrics)
    assert page.value("callmissed_tokens_total", direction="input", **MODEL) == 100


async def test_what_was_told_is_written_down_soon_and_in_turns(autojump_clock: MockClock) -> None:
    observer = Observer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(observer.run)
        for _ in range(AT_ONCE * 3):
            observer.request_ended(a_request())
        observer.write_down(AT_ONCE)
        assert dict(observer.metrics.tables())[names.REQUESTS] == {(CHAT, "200"): AT_ONCE}
        await trio.sleep(WRITE_EVERY_S * 1.5)
        assert dict(observer.metrics.tables())[names.REQUESTS] == {(CHAT, "200"): AT_ONCE * 3}
        nursery.cancel_scope.cancel()


def test_requests_under_way_are_known() -> None:
    observer = Observer()
    observer.request_began("req_1", None)
    observer.request_began("req_2", None)
    assert observer.active == 2
    observer.request_ended(a_request())
    assert observer.active == 1


def test_facts_have_no_field_for_content() -> None:
    assert not {each.name for each in fields(RequestFacts)} & {"body", "headers", "path", "query", "tenant", "key"}
