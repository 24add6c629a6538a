"""JSON values that fit a JSON schema: arguments of tool calls and structured answers."""

from __future__ import annotations

from typing import Any, Final

_BY_TYPE: Final[dict[str, Any]] = {"string": "Pune", "integer": 3, "number": 1.5, "boolean": True, "null": None}
_DEEPEST: Final = 8


def example(schema: Any) -> Any:
    """One value of this schema: all properties, one item per list, the first of enum, anyOf, oneOf, allOf.

    `$ref` is followed only into `$defs` of the outermost schema; what it cannot read becomes an empty object.
    """
    return _example(schema, schema if isinstance(schema, dict) else {}, 0)


def _example(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return {}
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _example(schema[key][0], root, depth + 1)
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _example(root.get("$defs", {}).get(name), root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0] if kind else "object"
    if kind == "array":
        return [_example(schema["items"], root, depth + 1)] if "items" in schema else []
    if kind in _BY_TYPE:
        return schema.get("minimum", _BY_TYPE[kind])
    return {name: _example(part, root, depth + 1) for name, part in schema.get("properties", {}).items()}
