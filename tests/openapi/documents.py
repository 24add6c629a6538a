"""The document as the gateway makes it, and ways around in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from unittest.mock import MagicMock

from app.api.app import PLATFORM
from app.api.openapi.everything import whole_document

Json = dict[str, Any]
METHODS: Final = ("get", "post", "put", "patch", "delete")
VARIABLE: Final = re.compile(r"<(?:\w+:)?(\w+)>")


@cache
def document() -> Json:
    return whole_document(operation for area in PLATFORM for operation in area(MagicMock()).operations)


def operations() -> Iterator[tuple[str, str, Json]]:
    """Method, path and description of each."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def texts(value: Any) -> Iterator[str]:
    """Everything that is said to readers."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in ("description", "summary") and isinstance(each, str):
                yield each
            else:
                yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
