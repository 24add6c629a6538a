"""JSON bodies in: bytes to an object, an object to a typed Struct, and every fault to a `Problem` that names it."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, TypeVar

import msgspec

from app.core import describe
from app.core.errors import Problem

T = TypeVar("T")

#: Deepest nesting of arrays and objects. Far below the interpreter's own limit, so whoever walks the object is safe.
MAX_DEPTH: Final = 128
LONGEST_PARAM: Final = 200

_decode: Final = msgspec.json.Decoder().decode
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_MISSING: Final = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.+)`", re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises `Problem` 400 `invalid_request_error` that says what is wrong and where."""
    try:
        value = _decode(body)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _body_problem(body, str(error)) from None
    if type(value) is not dict:
        raise _invalid(f"The body must be a JSON object, got {describe.got(value, quote=False)}.")
    if len(body) > MAX_DEPTH and _is_too_deep(value):
        raise _too_deep()
    return value


def convert(raw: dict[str, Any], wire_type: type[T], *, strict: bool = True) -> T:
    """`raw` as `wire_type`, strictly typed unless its values come as texts, as those of a query do.

    Raises `Problem` 400: `invalid_type`, `invalid_value` (range, length, enum) or `missing_required_parameter`, with
    `param` such as `messages[0].role`; for the entries of a free-keyed object the name of the object.
    """
    try:
        return msgspec.convert(raw, wire_type, strict=strict)
    except msgspec.ValidationError as error:
        raise _field_problem(raw, wire_type, str(error)) from None


def storable(raw: dict[str, Any]) -> dict[str, Any]:
    """`raw`, for what is kept as it was sent. Raises `Problem` 400 for U+0000 in a text: PostgreSQL cannot keep it."""
    stack: list[tuple[str, Any]] = [("", raw)]
    while stack:
        path, item = stack.pop()
        match item:
            case str() if "\0" in item:
                raise Problem("invalid_value", f"{path} has the character U+0000 in it: leave it out.", path)
            case list():
                stack += [(f"{path}[{index}]", child) for index, child in enumerate(item)]
            case dict():
                stack += [(_printable(_join(path, key.replace("\0", ""))), child) for key, child in item.items()]
                stack += [(path or "The body", key) for key in item if "\0" in key]
    return raw


def _invalid(message: str, param: str | None = None) -> Problem:
    return Problem("invalid_request_error", message, param)


def _too_deep() -> Problem:
    return _invalid(f"The body is nested too deep: send at most {MAX_DEPTH} levels of arrays and objects.")


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _body_problem(body: bytes, fault: str) -> Problem:
    """Why the fast decoder refused `body`; the standard library's is looser, so it can find what JSON forbids."""
    if not body.strip():
        return _invalid("The body is empty: send a JSON object.")
    try:
        loose = json.loads(body.decode(), parse_int=float)
    except UnicodeDecodeError as error:
        return _invalid(f"The body is not UTF-8 (byte {error.start}): send JSON encoded as UTF-8.")
    except RecursionError:
        return _too_deep()
    except ValueError:
        reason = fault.removeprefix("JSON is malformed: ")
        return _invalid(f"The body is not valid JSON: {reason}. Send a JSON object.")
    found = _forbidden(loose)
    if found is None:
        return _invalid(f"The body cannot be read: {fault}.")
    param, reason = found
    return _invalid(f"{param or 'The body'} {reason}", param or None)


def _forbidden(value: Any) -> tuple[str, str] | None:
    """Path and description of the first number or text that JSON cannot carry."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, item = stack.pop()
        match item:
            case float() if not math.isfinite(item):
                return _printable(path), "is NaN, Infinity or too large: send a finite number or leave the field out."
            case str() if _SURROGATE.search(item):
                return _printable(path), "has a lone surrogate (half of a \\u pair): send whole characters."
            case list():
                stack += [(f"{path}[{index}]", child) for index, child in reversed(list(enumerate(item)))]
            case dict():
                bad_key = next((key for key in item if _SURROGATE.search(key)), None)
                if bad_key is not None:
                    return _printable(_join(path, bad_key)), "has a lone surrogate in its name: send whole characters."
                stack += [(_join(path, key), child) for key, child in reversed(item.items())]
    return None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _printable(path: str) -> str:
    return path[:LONGEST_PARAM].encode("utf-8", "backslashreplace").decode()


def _field_problem(raw: dict[str, Any], wire_type: type, error: str) -> Problem:
    fault, _, path = error.rpartition(" - at `") if " - at `" in error else (error, "", "")
    steps, whole = _steps(path.removesuffix("`"))
    missing = _MISSING.fullmatch(fault)
    if missing:
        steps.append(missing[1])
    param = _param(steps)
    node = describe.node_at(describe.type_info(wire_type), steps)
    if missing:
        return Problem("missing_required_parameter", f"{param} is required: send {describe.expected(node)}.", param)
    unknown = _UNKNOWN.fullmatch(fault)
    if unknown:
        param = _printable(_join(param, unknown[1]))
        return Problem("invalid_value", f"{param} is no field here: take it out, or correct its name.", param)
    code = "invalid_type" if fault.startswith("Expected `") and ", got `" in fault else "invalid_value"
    if not whole:
        entry = describe.expected(describe.node_at(node, [""]))
        return Problem(code, f"Every entry of {param} must be {entry}.", param)
    sent = describe.got(_value_at(raw, steps), quote=fault.startswith("Invalid"))
    return Problem(code, f"{param} must be {describe.expected(node)}, got {sent}.", param)


def _steps(path: str) -> tuple[list[str | int], bool]:
    """Keys and indexes of a msgspec path, and whether it is known to the end: keys of free objects are not in it."""
    steps: list[str | int] = []
    for step in _STEP.finditer(path):
        key, index = step[1], step[2]
        if key is None and index is None:
            return steps, False
        steps.append(key if index is None else int(index))
    return steps, True


def _param(steps: list[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _value_at(value: Any, steps: list[str | int]) -> Any:
    for step in steps:
        value = value[step]
    return value
