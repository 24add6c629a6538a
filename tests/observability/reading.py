"""A page of metrics as numbers."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from app.observability.metrics import Metrics
from app.observability.observer import Observer
from app.observability.page import MetricsPage
from app.observability.readings import Sources

Labels = tuple[tuple[str, str], ...]


class Page(dict[tuple[str, Labels], float]):
    """Samples by name and labels; `page.value(name, label="x")` is 0 where there is none."""

    @classmethod
    def of(cls, text: str) -> Page:
        return cls(
            ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )

    @classmethod
    async def of_metrics(cls, metrics: Metrics, sources: Sources | None = None) -> Page:
        text, _ = await MetricsPage(Observer(metrics), sources or Sources()).render(None)
        return cls.of(text.decode())

    def value(self, name: str, **labels: str) -> float:
        return self.get((name, tuple(sorted(labels.items()))), 0.0)

    def names(self) -> set[str]:
        """Of what was counted or read, as `names.FAMILIES` has them: a histogram is one."""
        parts = ("_bucket", "_sum", "_count")
        stems = {
            name: next((name.removesuffix(part) for part in parts if name.endswith(part)), name) for name, _ in self
        }
        whole = {name for name, _ in self}
        return {stem if f"{stem}_bucket" in whole else name for name, stem in stems.items()}
