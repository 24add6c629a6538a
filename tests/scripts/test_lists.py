"""What is asked of each list is read off the API's own description; and the measuring itself, on a small database."""

from __future__ import annotations

import pytest

from scripts import fill, lists
from scripts.listing.asks import Ask, List, filters_of, lists_of, pages_of, pairs_of
from tests.databases import ON_BOTH

MIDDLE = "2026-11-02T00:00:00Z"
ONE = List(
    "/api/v1/things",
    {
        "limit": {"type": "integer", "minimum": 1, "maximum": 200},
        "offset": {"type": "integer", "minimum": 0, "maximum": 10_000},
        "before": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 90},
        "end": {"type": "string"},
        "kind": {"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}]},
        "owner_id": {"type": "string"},
    },
)
ROWS = [{"id": str(number), "owner_id": owner} for number, owner in enumerate(["x", "x", "y", "x", "z", "y", None])]


def test_lists_are_the_paths_under_the_base_that_answer_with_pages() -> None:
    page: dict[str, object] = {"properties": {"data": {}, "next_cursor": {}}}
    paths = {
        "/api/v1/things": {"get": _operation({"$ref": "#/components/schemas/Page"})},
        "/api/v1/things/{id}": {"get": _operation({"properties": {"id": {}}})},
        "/v1/things": {"get": _operation(page)},
        "/api/v1/others": {"get": _operation(page), "post": {}},
        "/api/v1/made": {"post": {}},
        "/api/v1/gone": {"get": {"parameters": [], "responses": {"501": {}}}},
    }
    document = {"paths": paths, "components": {"schemas": {"Page": page}}}
    assert [each.path for each in lists_of(document, "/api/v1")] == ["/api/v1/things", "/api/v1/others"]


def _operation(schema: object) -> dict[str, object]:
    return {"parameters": [], "responses": {"200": {"content": {"application/json": {"schema": schema}}}}}


def test_pages_are_asked_for_at_both_ends_and_in_between() -> None:
    assert [ask.suffix for ask in pages_of(ONE, MIDDLE)] == [
        *("", "?before=2026-11-02T00%3A00%3A00Z", "?limit=200", "?offset=10000"),
    ]


def test_filters_take_the_values_that_types_and_rows_know() -> None:
    asked = [dict(ask.query) for ask in filters_of(ONE, ROWS, MIDDLE)]
    assert asked == [
        *({"days": "1"}, {"days": "90"}, {"end": MIDDLE}, {"kind": "a"}, {"kind": "b"}),
        *({"owner_id": "x"}, {"owner_id": "z"}),
    ]


def test_every_two_filters_are_asked_for_together_once() -> None:
    pairs = list(
        pairs_of([Ask("a=1", {"a": "1"}), Ask("a=2", {"a": "2"}), Ask("b=1", {"b": "1"}), Ask("c", {"c": "1"})])
    )
    assert [dict(pair.query) for pair in pairs] == [
        *({"a": "2", "b": "1"}, {"a": "2", "c": "1"}, {"b": "1", "c": "1"}),
    ]


@ON_BOTH
def test_every_list_of_a_filled_database_is_measured(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "BUDGET_MS", 60_000.0)
    monkeypatch.setattr(lists, "WARM_UP", 0)
    assert fill.main(["--rows", "60", "--database-url", database_url]) == 0
    assert lists.main(["--asks", "1", "--database-url", database_url]) == 0
    said = capsys.readouterr().out
    for path in (
        "usage/logs",
        "conversations",
        "credits/transactions",
        "messages",
        "deliveries",
        "keys",
        "users",
        "bots",
    ):
        assert f"{path}  first page" in said, path
    assert "slowest of 36 pairs" in said
