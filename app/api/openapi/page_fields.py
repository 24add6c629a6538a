"""Schemas as rows of a table: a field's name, its type in words with links to other types, and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup, escape

from app.api.openapi.described import EVENTS, Json
from app.api.openapi.schemas import REF, without_null

#: More values of an enumeration are not shown in a row.
MOST_VALUES: Final = 16
RANGES: Final = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " entries"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One field or parameter; `where` is body, path, query or header."""

    name: str
    type: Markup
    required: bool
    text: str
    where: str = ""


def fields_of(schema: Json, *, nulls: bool = True) -> list[Row]:
    """The rows of an object, those that must be there first. `nulls`: whether null is worth telling."""
    required = set(schema.get("required", ()))
    rows = [
        Row(name, type_of(each if nulls else without_null(each)), name in required, each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]
    return sorted(rows, key=lambda row: not row.required)


def parameters_of(operation: Json) -> list[Row]:
    return [
        Row(each["name"], type_of(each["schema"]), each.get("required", False), each.get("description", ""), each["in"])
        for each in operation.get("parameters", ())
    ]


def body_of(content: Json, media: str) -> Markup:
    """What a body is, in words."""
    schema = content["schema"]
    if media != EVENTS:
        return type_of(schema) if schema else Markup("bytes")
    data = schema["properties"]["data"]
    texts = data.get("anyOf", [data])
    return Markup("events of {}").format(
        Markup(" or ").join(
            _value(each["const"]) if "const" in each else type_of(each["contentSchema"]) for each in texts
        )
    )


def type_of(schema: Mapping[str, Any]) -> Markup:
    """In words, with bounds and the default."""
    words = _type(schema) + _bounds(schema)
    default = schema.get("default")
    return words if default in (None, [], {}, "") else words + Markup(", default {}").format(_value(default))


def _type(schema: Mapping[str, Any]) -> Markup:
    words = Markup("anything")
    match schema:
        case {"$ref": str(reference)}:
            words = Markup('<a href="#type-{0}">{0}</a>').format(reference.removeprefix(REF))
        case {"anyOf": list(choices)} | {"oneOf": list(choices)}:
            words = Markup(" or ").join(dict.fromkeys(map(type_of, choices)))
        case {"const": value}:
            words = _value(value)
        case {"enum": list(values)}:
            words = _values(values)
        case {"type": "array"}:
            words = Markup("array of {}").format(type_of(schema.get("items", {})))
        case {"type": "object", "additionalProperties": dict(values)}:
            words = Markup("object of {}").format(type_of(values))
        case {"type": "string", "format": "binary"}:
            words = Markup("file")
        case {"type": str(name)}:
            words = escape(name)
    return words


def _values(values: list[Any]) -> Markup:
    shown = Markup(", ").join(_value(value) for value in values[:MOST_VALUES])
    return shown if len(values) <= MOST_VALUES else shown + Markup(", …")


def _value(value: Any) -> Markup:
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    return Markup("<code>{}</code>").format(text)


def _bounds(schema: Mapping[str, Any]) -> Markup:
    text = ""
    for low_key, high_key, unit in RANGES:
        match schema.get(low_key), schema.get(high_key):
            case None, None:
                continue
            case 1, None if unit == " characters":
                text += ", not empty"
            case low, None:
                text += f", at least {_number(low)}{unit}"
            case None, high:
                text += f", at most {_number(high)}{unit}"
            case low, high:
                text += f", {_number(low)} to {_number(high)}{unit}"
    return escape(text)


def _number(value: Any) -> str:
    return f"{value:,}" if abs(value) < 10**12 else f"{value:.3g}"
