"""Requests that are one flat object: read strictly, with names of unknown fields kept for the receipt."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from app.core.chat import IGNORED_MAX, IGNORED_NAME_MAX
from app.core.chat_fields import Wire
from app.core.decode import convert
from app.core.errors import Problem

W = TypeVar("W", bound=Wire)


def read_fields(raw: dict[str, Any], wire_type: type[W], *, one_code: bool = False) -> W:
    """`raw` as `wire_type`. Raises Problem 400 that names the field.

    `one_code`: always `invalid_request_error`, as images and search answer (spec.md section 4.2).
    """
    try:
        return convert(raw, wire_type)
    except Problem as problem:
        raise bad_field(problem.param, problem.message) if one_code else problem from None


def bad_field(param: str | None, message: str) -> Problem:
    return Problem("invalid_request_error", message, param)


def unknown_fields(raw: dict[str, Any], wire_type: type[Wire]) -> tuple[str, ...]:
    """Names that `wire_type` does not know, for the receipt: clipped, since they are the client's own words."""
    known = {field.encode_name for field in msgspec.structs.fields(wire_type)}
    return tuple(name[:IGNORED_NAME_MAX] for name in raw if name not in known)[:IGNORED_MAX]
