"""Values of any msgspec type, mostly good ones, for tests that send everything everywhere."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from msgspec import inspect

WORDS: Final = ("", "a", "kimi-k2.6", "hello there", "नमस्ते", "*", "2026-08-01T00:00:00Z", "x@example.com", "1" * 300)
#: Gives the value of a string field by its name, or None when it does not know the name.
Named = Callable[[str], str | None]


def any_value(kind: inspect.Type, chance: Random, named: Named, name: str = "") -> Any:
    """A value of this type; its strings are `named` where that knows them."""
    match kind:
        case inspect.Metadata(type=inner):
            return any_value(inner, chance, named, name)
        case inspect.UnionType(types=types):
            return any_value(chance.choice(types), chance, named, name)
        case inspect.ListType(item_type=item):
            return [any_value(item, chance, named, name) for _ in range(chance.randrange(3))]
        case inspect.DictType(value_type=value):
            return {word: any_value(value, chance, named) for word in chance.sample(WORDS[1:5], chance.randrange(3))}
    return _struct(kind, chance, named) if isinstance(kind, inspect.StructType) else _plain(kind, chance, named, name)


def _struct(kind: inspect.StructType, chance: Random, named: Named) -> dict[str, Any]:
    """An object with its required fields, and some of the others."""
    value = {
        field.encode_name: any_value(field.type, chance, named, field.encode_name)
        for field in kind.fields
        if field.required or chance.random() < 0.5
    }
    return value if kind.tag_field is None else {**value, kind.tag_field: kind.tag}


def _plain(kind: inspect.Type, chance: Random, named: Named, name: str) -> Any:
    value: Any = chance.choice(WORDS)
    match kind:
        case inspect.StrType(min_length=least):
            known = named(name)
            value = value.ljust(least or 0, "x") if known is None else known
        case inspect.IntType(ge=low, le=high):
            value = chance.randint(int(low or 0), int(high or (low or 0) + 100))
        case inspect.FloatType(ge=low, le=high):
            value = chance.uniform(low or 0, high or 100)
        case inspect.BoolType():
            value = chance.random() < 0.5
        case inspect.NoneType():
            value = None
        case inspect.LiteralType(values=values):
            value = chance.choice(values)
    return value
