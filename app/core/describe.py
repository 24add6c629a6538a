"""Says in words what a typed field must be and what was sent instead; the texts behind `decode.convert`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

#: Longest piece of a client's own text that an error repeats.
CLIP: Final = 40

_PLURALS: Final[dict[type[inspect.Type], str]] = {
    inspect.StrType: "strings",
    inspect.IntType: "integers",
    inspect.FloatType: "numbers",
    inspect.StructType: "objects",
    inspect.DictType: "objects",
}


@cache
def type_info(wire_type: type) -> inspect.Type:
    return inspect.type_info(wire_type)


def node_at(node: inspect.Type, steps: Sequence[str | int]) -> inspect.Type:
    """The type of the field that `steps` (keys and indexes) lead to from `node`; `AnyType` where they lead nowhere."""
    for step in steps:
        node = _step(node, step)
    return node


def _step(node: inspect.Type, step: str | int) -> inspect.Type:
    members = _members(node)
    for member in members:
        match member, step:
            case inspect.ListType(item_type=item), int():
                return item
            case inspect.DictType(value_type=value), str():
                return value
            case inspect.StructType(fields=fields), str():
                for field in fields:
                    if field.encode_name == step:
                        return field.type
    tags = tuple(m.tag for m in members if isinstance(m, inspect.StructType) and m.tag_field == step)
    return inspect.LiteralType(tags) if tags else inspect.AnyType()


def _members(node: inspect.Type) -> list[inspect.Type]:
    if isinstance(node, inspect.Metadata):
        return _members(node.type)
    if isinstance(node, inspect.UnionType):
        return [member for inner in node.types for member in _members(inner)]
    return [node]


def expected(node: inspect.Type) -> str:
    """A noun phrase such as `a number from 0 to 2`; null is left out, since it always means "not sent"."""
    phrases = dict.fromkeys(_phrase(member) for member in _members(node))
    phrases.pop("", None)
    return " or ".join(phrases) or "null"


def _phrase(node: inspect.Type) -> str:
    phrase = "a different value"
    match node:
        case inspect.NoneType():
            phrase = ""
        case inspect.BoolType():
            phrase = "true or false"
        case inspect.IntType(ge=low, le=high):
            phrase = "an integer" + _range(low, high)
        case inspect.FloatType(ge=low, le=high):
            phrase = "a number" + _range(low, high)
        case inspect.StrType(min_length=1, max_length=None):
            phrase = "a non-empty string"
        case inspect.StrType(min_length=low, max_length=high):
            phrase = "a string" + _of(low, high, "characters")
        case inspect.ListType(item_type=item, min_length=low, max_length=high):
            plural = _plural(item)
            phrase = "an array" + (_of(low, high, plural) or f" of {plural}")
        case inspect.DictType(min_length=low, max_length=high):
            phrase = "an object" + _of(low, high, "entries")
        case inspect.StructType():
            phrase = "an object"
        case inspect.LiteralType(values=values):
            names = ", ".join(f'"{value}"' for value in values)
            phrase = names if len(values) == 1 else f"one of {names}"
    return phrase


def _plural(item: inspect.Type) -> str:
    plurals = {_PLURALS.get(type(member), "items") for member in _members(item)}
    return plurals.pop() if len(plurals) == 1 else "items"


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return "" if high is None else f" of at most {_number(high)}"
    return f" of at least {_number(low)}" if high is None else f" from {_number(low)} to {_number(high)}"


def _of(low: int | None, high: int | None, plural: str) -> str:
    if high is None:
        return "" if low is None else f" of at least {low} {plural}"
    return f" of {low} to {high} {plural}" if low else f" of at most {high} {plural}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def got(value: Any, *, quote: bool) -> str:
    """What `value` is; its text only when `quote` says that it is a name out of a closed set, never a user's words."""
    words = "something else"
    match value:
        case None | True | False:
            words = {None: "null", True: "true", False: "false"}[value]
        case int() | float():
            digits = msgspec.json.encode(value).decode()
            words = digits if len(digits) <= CLIP else f"a number of {len(digits)} digits"
        case str() if quote:
            words = f'"{value}"' if len(value) <= CLIP else f'"{value[:CLIP]}…"'
        case str():
            words = f"a string of {len(value)} characters" if value else "an empty string"
        case list():
            words = f"an array of {len(value)} items" if value else "an empty array"
        case dict():
            words = f"an object of {len(value)} entries" if value else "an empty object"
    return words
