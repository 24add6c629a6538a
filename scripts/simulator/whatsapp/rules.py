"""Rules for JSON, as data: each says what a value must be, and `check` refuses as Meta does (section 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scripts.simulator.whatsapp.errors import Refusal

INVALID: Final = 100
MISSING: Final = 131008
WRONG: Final = 131009


@dataclass(frozen=True, slots=True)
class Text:
    """A string that is not empty, of at most `most` characters; or one of `among`."""

    most: int = 512
    among: tuple[str, ...] = ()
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number between two others."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Many:
    """A list of `least` to `most` values of one kind."""

    each: Rule
    most: int
    least: int = 1


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever it is."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with these fields and no others; `needed` must be there."""

    fields: Mapping[str, Rule]
    needed: tuple[str, ...] = field(default=())


Rule = Text | Flag | Figure | Many | Anything | Shape


def check(rule: Rule, value: Any, path: str) -> None:
    """Raises `Refusal`: 131008 for what is missing, 131009 for what is wrong, 100 for too much of it."""
    match rule:
        case Text():
            _check_text(rule, value, path)
        case Flag():
            _demand(isinstance(value, bool), path, "must be true or false")
        case Figure(least, most):
            good = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
            _demand(good, path, f"must be a number from {least:g} to {most:g}")
        case Many(each, most, least):
            _demand(isinstance(value, list) and least <= len(value) <= most, path, f"must have {least} to {most} items")
            for place, item in enumerate(value):
                check(each, item, f"{path}[{place}]")
        case Shape():
            _check_shape(rule, value, path)
        case Anything():
            pass


def _check_text(rule: Text, value: Any, path: str) -> None:
    _demand(isinstance(value, str), path, "must be a string")
    if rule.among:
        _demand(value in rule.among, path, f"must be one of {', '.join(rule.among)}")
    if not value.strip() and not rule.may_be_empty:
        raise Refusal(MISSING, f"{path} must not be empty")
    if len(value) > rule.most:
        raise Refusal(INVALID, f"Param {path} must be at most {rule.most} characters long")


def _check_shape(rule: Shape, value: Any, path: str) -> None:
    _demand(isinstance(value, dict), path, "must be an object")
    for name in rule.needed:
        if value.get(name) is None:
            raise Refusal(MISSING, f"{path}.{name} is required" if path else f"{name} is required")
    for name, item in value.items():
        if name not in rule.fields:
            raise Refusal(INVALID, f"Unexpected key {name!r} on param {path or 'body'}")
        check(rule.fields[name], item, f"{path}.{name}" if path else name)


def _demand(good: bool, path: str, wanted: str) -> None:
    if not good:
        raise Refusal(WRONG, f"{path} {wanted}")
