"""The status page says of each model what a caller would find, and of the gateway the worst of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.status import State, model_state, status_page
from catalog.catalog import Catalog
from catalog.models import Route

KIMI = Catalog.load().models["kimi-k2.6"]
TWO = replace(KIMI, routes=(Route("one", "a"), Route("two", "b")))


@pytest.mark.parametrize(
    ("ups", "state"),
    [
        ((True, True), "operational"),
        ((True, False), "degraded"),
        ((False, True), "degraded"),
        ((False, False), "down"),
        ((None, True), "operational"),
        ((None, False), "down"),
        ((None, None), "down"),
    ],
)
def test_a_model_is_what_its_configured_routes_are(ups: tuple[bool | None, bool | None], state: State) -> None:
    answers = dict(zip(("one", "two"), ups, strict=True))
    assert model_state(TWO, lambda provider, _: answers[provider]) == state


def test_a_model_in_maintenance_says_so_whatever_its_routes_do() -> None:
    assert model_state(replace(TWO, status="maintenance"), lambda *_: True) == "maintenance"


@pytest.mark.parametrize(
    ("ready", "database", "up", "status"),
    [
        (True, True, True, "operational"),
        (True, True, False, "degraded"),
        (False, True, True, "degraded"),
        (False, False, True, "down"),
    ],
)
def test_the_page_says_the_worst(ready: bool, database: bool, up: bool, status: State) -> None:
    page = status_page([TWO], lambda *_: up, ready=ready, database=database, checked_at="now")
    assert page.status == status
    assert [each.id for each in page.models] == [KIMI.id]


def test_maintenance_degrades_nothing() -> None:
    resting = replace(TWO, status="maintenance")
    page = status_page([resting], lambda *_: True, ready=True, database=True, checked_at="now")
    assert page.status == "operational"
