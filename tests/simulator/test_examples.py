"""Values made from JSON schemas."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.simulator.examples import example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "Pune"),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": ["number", "null"]}, 1.5),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"type": "array"}, []),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 0}, 0),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"properties": {"a": {"type": "string"}, "b": {"type": "object"}}}, {"a": "Pune", "b": {}}),
        ({"$ref": "#/$defs/Town", "$defs": {"Town": {"enum": ["Goa"]}}}, "Goa"),
        (None, {}),
    ],
)
def test_a_schema_gets_a_value_that_fits(schema: Any, value: Any) -> None:
    assert example(schema) == value


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    assert isinstance(example({"$ref": "#/$defs/Node", "$defs": {"Node": node}}), dict)
