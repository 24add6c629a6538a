"""Traces and GenAI metrics over OTLP. The extra `otel`: imported only when an endpoint is configured.

The SDK's own threads encode and send; the loop only puts finished spans into a bounded queue, which drops what a
collector that is away cannot take.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
import trio
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from app.observability import names, spans
from app.observability.facts import CallFacts, RequestFacts
from app.observability.log import replica_name

log = structlog.get_logger(__name__)
SCOPE: Final = "callmissed"
#: How long the end of the process waits for the last spans.
LAST_EXPORT_S: Final = 2.0
TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
SECOND_BUCKETS: Final = tuple(0.01 * 2**power for power in range(14))


class GivenIds(RandomIdGenerator):
    """A request's ids are made when it begins, for its log lines; its span is made when it ends and takes them."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        given, self.span_id = self.span_id, 0
        return given or super().generate_span_id()


class Otel:
    """Where finished requests and calls go. Not for several threads."""

    def __init__(self, processor: SpanProcessor, reader: MetricReader) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME", "callmissed-gateway")
        resource = Resource.create({SERVICE_NAME: name, SERVICE_INSTANCE_ID: replica_name()})
        self._ids = GivenIds()
        self._traces = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._traces.add_span_processor(processor)
        self._tracer = self._traces.get_tracer(SCOPE)
        self._meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        meter = self._meters.get_meter(SCOPE)
        self._tokens = meter.create_histogram(
            names.TOKEN_USAGE, "{token}", explicit_bucket_boundaries_advisory=TOKEN_BUCKETS
        )
        self._duration_s = meter.create_histogram(
            names.OPERATION_DURATION, "s", explicit_bucket_boundaries_advisory=SECOND_BUCKETS
        )
        self._first_token_s = meter.create_histogram(
            names.TIME_TO_FIRST_TOKEN, "s", explicit_bucket_boundaries_advisory=SECOND_BUCKETS
        )

    def request_ended(self, request: RequestFacts) -> None:
        """Hand over the request's spans, as children of the client's span if it has sent one."""
        trace = request.trace
        if not trace.trace_id or request.endpoint in spans.UNTRACED:
            return
        context = None
        if trace.parent_id:
            flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
            parent = SpanContext(trace.trace_id, trace.parent_id, is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(parent))
        self._ids.trace_id, self._ids.span_id = trace.trace_id, trace.span_id
        described = spans.request_span(request)
        whole = self._tracer.start_span(
            described.name, context, SpanKind.SERVER, described.attributes, start_time=described.start_ns
        )
        inside = set_span_in_context(whole)
        for each in spans.attempt_spans(request):
            child = self._tracer.start_span(
                each.name, inside, SpanKind.CLIENT, each.attributes, start_time=each.start_ns
            )
            if each.error:
                child.set_status(Status(StatusCode.ERROR, each.error))
            child.end(each.end_ns)
        if described.error:
            whole.set_status(Status(StatusCode.ERROR, described.error))
        whole.end(described.end_ns)

    def call_ended(self, call: CallFacts) -> None:
        about = {names.OPERATION: call.operation, names.REQUEST_MODEL: call.model}
        if call.attempts:
            about[names.PROVIDER] = call.attempts[-1].provider
        failed = call.attempts[-1].code if call.attempts else None
        self._duration_s.record(call.ended - call.began, about | ({names.ERROR_TYPE: failed} if failed else {}))
        if call.first_content is not None:
            self._first_token_s.record(call.first_content - call.began, about)
        if call.usage is not None and call.basis != "none":
            self._tokens.record(call.usage.prompt, about | {names.TOKEN_TYPE: "input"})
            self._tokens.record(call.usage.completion, about | {names.TOKEN_TYPE: "output"})

    def shut_down(self) -> None:
        """Send what waits. Blocks for as long as the collector makes it."""
        self._traces.shutdown()
        self._meters.shutdown()


class Complaints(logging.Handler):
    """The SDK's complaints as events of our log: their template only, since values may quote what a collector said."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("otel.complained", about=str(record.msg)[:200], by=record.name)


def _log_complaints() -> None:
    """For good: a thread of the SDK that has been given up may still complain."""
    logger = logging.getLogger("opentelemetry")
    if not any(isinstance(handler, Complaints) for handler in logger.handlers):
        logger.addHandler(Complaints(logging.WARNING))
        logger.propagate = False


@asynccontextmanager
async def open_otel() -> AsyncIterator[Otel]:
    """Exporters as the standard `OTEL_*` variables say. The end waits for the last export, but not for long."""
    _log_complaints()
    otel = Otel(BatchSpanProcessor(OTLPSpanExporter()), PeriodicExportingMetricReader(OTLPMetricExporter()))
    try:
        yield otel
    finally:
        with trio.move_on_after(LAST_EXPORT_S, shield=True):
            await trio.to_thread.run_sync(otel.shut_down, abandon_on_cancel=True)
