"""Traces and GenAI metrics through OpenTelemetry: in memory, and once over OTLP to a collector on loopback."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import trio
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from app.observability import names
from app.observability.observer import MissingExtra, Observer, open_observer
from app.observability.otel import LAST_EXPORT_S, Otel
from app.observability.trace import continued
from tests.observability.collector import open_collector
from tests.observability.facts import CHAT, a_call, a_request

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = TRACEPARENT[:-1] + b"0"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def otel(spans: InMemorySpanExporter, reader: InMemoryMetricReader) -> Otel:
    return Otel(SimpleSpanProcessor(spans), reader)


def points(reader: InMemoryMetricReader, name: str) -> list[HistogramDataPoint]:
    data = reader.get_metrics_data()
    assert data is not None
    found: list[Any] = [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]
    return found


def ids(span: ReadableSpan) -> tuple[int, int, int]:
    """Trace, span and parent."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id, span.parent.span_id if span.parent else 0


def test_the_request_continues_the_client_s_trace_and_its_attempts_are_its_children(
    otel: Otel, spans: InMemorySpanExporter
) -> None:
    trace = continued(TRACEPARENT)
    otel.request_ended(a_request(a_call(), trace=trace))
    child, request = spans.get_finished_spans()
    assert ids(request) == (trace.trace_id, trace.span_id, trace.parent_id)
    assert ids(child)[0::2] == (trace.trace_id, trace.span_id)
    assert (request.kind, child.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert (request.name, child.name) == (f"POST {CHAT}", "chat @cf/kimi")
    assert (child.attributes or {})[names.PROVIDER] == "cloudflare"


def test_a_request_without_a_trace_begins_one_with_the_ids_that_its_log_lines_had(
    otel: Otel, spans: InMemorySpanExporter
) -> None:
    observer = Observer(otel=otel)
    traces = [observer.request_began("req_1", None), observer.request_began("req_2", None)]
    for trace in traces:
        observer.request_ended(a_request(None, trace=trace))
    observer.write_down()
    assert [ids(span) for span in spans.get_finished_spans()] == [(each.trace_id, each.span_id, 0) for each in traces]


def test_a_client_that_does_not_sample_is_followed(otel: Otel, spans: InMemorySpanExporter) -> None:
    otel.request_ended(a_request(a_call(), trace=continued(UNSAMPLED)))
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("endpoint", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_not_traced(otel: Otel, spans: InMemorySpanExporter, endpoint: str) -> None:
    otel.request_ended(a_request(None, endpoint=endpoint, trace=continued(TRACEPARENT)))
    assert spans.get_finished_spans() == ()


def test_a_failure_is_an_error_of_its_span(otel: Otel, spans: InMemorySpanExporter) -> None:
    call = a_call()
    call.attempts[0].code = "upstream_error"
    otel.request_ended(a_request(call, status=502, code="upstream_error", trace=continued(TRACEPARENT)))
    assert [span.status.description for span in spans.get_finished_spans()] == ["upstream_error"] * 2
    assert not any(span.status.is_ok for span in spans.get_finished_spans())


def test_a_call_is_three_metrics_of_the_convention(otel: Otel, reader: InMemoryMetricReader) -> None:
    otel.call_ended(a_call())
    (duration,) = points(reader, "gen_ai.client.operation.duration")
    (first_token,) = points(reader, "gen_ai.server.time_to_first_token")
    tokens = points(reader, "gen_ai.client.token.usage")
    about = {names.OPERATION: "chat", names.REQUEST_MODEL: "kimi-k2.6", names.PROVIDER: "cloudflare"}
    assert (duration.sum, dict(duration.attributes or {})) == (3, about)
    assert (first_token.sum, dict(first_token.attributes or {})) == (1, about)
    assert {(point.attributes or {})[names.TOKEN_TYPE]: point.sum for point in tokens} == {"input": 100, "output": 20}


def test_a_free_call_has_a_duration_and_no_tokens(otel: Otel, reader: InMemoryMetricReader) -> None:
    call = a_call(basis="none")
    call.attempts[0].code = "provider_error"
    otel.call_ended(call)
    (duration,) = points(reader, "gen_ai.client.operation.duration")
    assert (duration.attributes or {})[names.ERROR_TYPE] == "provider_error"
    assert points(reader, "gen_ai.client.token.usage") == []


def test_an_exporter_that_fails_does_not_reach_the_call(otel: Otel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(otel, "request_ended", fail)
    monkeypatch.setattr(otel, "call_ended", fail)
    observer = Observer(otel=otel)
    observer.call_ended(a_call())
    observer.request_ended(a_request(a_call(), trace=continued(TRACEPARENT)))
    observer.write_down()


async def test_everything_arrives_over_otlp_when_the_gateway_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ours")
        async with open_observer(collector.url) as observer:
            trace = observer.request_began("req_1", TRACEPARENT)
            observer.call_ended(a_call())
            observer.request_ended(a_request(a_call(), trace=trace))
        assert {span.name for span in collector.spans} == {f"POST {CHAT}", "chat @cf/kimi"}
        assert {span.trace_id.hex() for span in collector.spans} == {TRACEPARENT.decode().split("-")[1]}
        assert collector.metrics == {names.TOKEN_USAGE, names.OPERATION_DURATION, names.TIME_TO_FIRST_TOKEN}
        assert collector.headers["x-tenant"] == "ours"


@pytest.mark.parametrize("away", ["hangs", "refuses"])
async def test_a_collector_that_is_away_neither_slows_a_call_nor_keeps_the_gateway_from_ending(
    monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    async with open_collector("hangs") as collector:
        url = collector.url if away == "hangs" else "http://127.0.0.1:9"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        async with open_observer(url) as observer:
            began = trio.current_time()
            for _ in range(5000):
                trace = observer.request_began("req_1", TRACEPARENT)
                observer.request_ended(replace(a_request(a_call()), trace=trace))
            observer.write_down()
            assert trio.current_time() - began < 5
            began = trio.current_time()
        assert trio.current_time() - began < LAST_EXPORT_S + 0.5


async def test_an_endpoint_without_the_packages_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "app.observability.otel", None)
    with pytest.raises(MissingExtra, match="extra `otel`"):
        async with open_observer("http://127.0.0.1:4318"):
            pass


async def test_without_an_endpoint_nothing_of_opentelemetry_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "app.observability.otel", None)
    async with open_observer("") as observer:
        assert observer.request_began("req_1", None).trace_id == 0
