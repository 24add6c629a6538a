"""What `GET /metrics` answers, on whichever port.

The figures are copied on the event loop, where they are consistent; the text is made from the copy in a thread, since
a large page takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from app.observability.metrics import Table
from app.observability.names import Family
from app.observability.observer import Observer
from app.observability.readings import Sources
from app.observability.stats import Buckets


class MetricsPage:
    """The metrics of one gateway as text."""

    def __init__(self, observer: Observer, sources: Sources) -> None:
        self._observer = observer
        self._sources = sources
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def render(self, accept: str | None) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics for who asks for it, else Prometheus' text format."""
        encode, content_type = choose_encoder(accept or "")
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._observer.write_down()
        registry.register(Copied((*self._observer.metrics.tables(), *self._sources.tables())))
        return await trio.to_thread.run_sync(encode, registry, limiter=self._one_at_a_time), content_type


class Copied(Collector):
    """Figures as they were when this was made."""

    def __init__(self, tables: tuple[tuple[Family, Table], ...]) -> None:
        self._tables = [
            (family, {labels: one.copy() if isinstance(one, Buckets) else one for labels, one in table.items()})
            for family, table in tables
        ]

    def collect(self) -> Iterator[Metric]:
        for family, table in self._tables:
            yield _metric(family, table)


def _metric(family: Family, table: Table) -> Metric:
    """As prometheus_client writes it down; its histograms are cumulative."""
    about = (family.name, family.doc)
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(*about, labels=family.labels)
        for labels, seen in table.items():
            if isinstance(seen, Buckets):
                histogram.add_metric(labels, _cumulative(seen), seen.total)
        return histogram
    plain = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(*about, labels=family.labels)
    for labels, value in table.items():
        if not isinstance(value, Buckets):
            plain.add_metric(labels, value)
    return plain


def _cumulative(seen: Buckets) -> list[tuple[str, float]]:
    below, buckets = 0, []
    for bound, count in zip([*map(str, map(float, seen.bounds)), "+Inf"], seen.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets
