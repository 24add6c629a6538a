"""A small OTLP collector on loopback: it keeps what it was sent, or refuses, or never answers."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import h11
import trio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Behaviour = Literal["takes", "hangs"]


@dataclass
class Collector:
    """`url` is what `OTEL_EXPORTER_OTLP_ENDPOINT` names. `heard` is every body, whatever became of it."""

    url: str = ""
    behaviour: Behaviour = "takes"
    spans: list[Span] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    headers: dict[str, str] = field(default_factory=dict)
    heard: bytes = b""

    async def serve(self, stream: trio.SocketStream) -> None:
        http, body = h11.Connection(h11.SERVER), b""
        path = ""
        async with stream:
            while True:
                match http.next_event():
                    case h11.NEED_DATA:
                        data = await stream.receive_some()
                        http.receive_data(data)
                        if not data:
                            return
                    case h11.Request() as request:
                        path = request.target.decode()
                        self.headers |= {name.decode(): value.decode() for name, value in request.headers}
                    case h11.Data(data=data):
                        body += bytes(data)
                    case h11.EndOfMessage():
                        break
                    case _:
                        return
            self._take(path, gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
            if self.behaviour == "hangs":
                await trio.sleep_forever()
            head = [("content-length", "0"), ("connection", "close"), ("content-type", "application/x-protobuf")]
            reply = http.send(h11.Response(status_code=200, headers=head)) or b""
            await stream.send_all(reply + (http.send(h11.EndOfMessage()) or b""))

    def _take(self, path: str, body: bytes) -> None:
        self.heard += body
        if path == "/v1/traces":
            sent = ExportTraceServiceRequest.FromString(body)
            self.spans += [span for one in sent.resource_spans for scope in one.scope_spans for span in scope.spans]
        if path == "/v1/metrics":
            figures = ExportMetricsServiceRequest.FromString(body)
            self.metrics |= {
                metric.name
                for one in figures.resource_metrics
                for scope in one.scope_metrics
                for metric in scope.metrics
            }


@asynccontextmanager
async def open_collector(behaviour: Behaviour = "takes") -> AsyncIterator[Collector]:
    collector = Collector(behaviour=behaviour)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, collector.serve, 0, host="127.0.0.1"))
        collector.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield collector
        nursery.cancel_scope.cancel()
