"""The ready-made dashboard asks for what `/metrics` shows, by the labels it has, and leaves nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from app.observability import names

ROOT: Final = Path(__file__).resolve().parents[2]
DASHBOARD: Final[dict[str, Any]] = msgspec.json.decode((ROOT / "deploy/grafana/gateway.json").read_bytes())
METRIC: Final = re.compile(r"\b(?:callmissed|process)_\w+")
#: Labels that Prometheus adds when it scrapes, and the one of histogram buckets.
ADDED: Final = {"job", "instance", "le"}
OWN_LABELS: Final = {family.name: set(family.labels) for family in names.FAMILIES}


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["expr"]


def family_of(metric: str) -> str:
    """What a query's name belongs to; a histogram is asked for by its parts."""
    parts = {
        f"{each.name}_{part}": each.name
        for each in names.FAMILIES
        if each.buckets
        for part in ("bucket", "sum", "count")
    }
    return parts.get(metric, metric)


ASKED: Final = sorted({family_of(metric) for expression in expressions() for metric in METRIC.findall(expression)})


@pytest.mark.parametrize("metric", ASKED)
def test_every_metric_it_asks_for_exists(metric: str) -> None:
    assert metric in OWN_LABELS or metric in names.PROCESS


def test_no_metric_is_missing_from_it() -> None:
    assert {*OWN_LABELS, *names.PROCESS} - set(ASKED) == set()


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_a_query_uses_only_labels_that_its_metrics_have(expression: str) -> None:
    known = set().union(*(OWN_LABELS.get(family_of(each), set()) for each in METRIC.findall(expression))) | ADDED
    matched = set(re.findall(r'(\w+)=~?"', expression))
    grouped = {name for group in re.findall(r"by \(([^)]*)\)", expression) for name in re.split(r",\s*", group)}
    assert matched | grouped <= known


def test_every_panel_takes_its_data_source_from_the_variable() -> None:
    asking = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in asking} == {"${datasource}"}
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"


def test_no_two_panels_share_an_id_or_a_place() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len(set(numbers)) == len(numbers)


def test_the_board_names_no_address() -> None:
    assert "://" not in msgspec.json.encode(DASHBOARD).decode()
