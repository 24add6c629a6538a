"""The document as the gateway makes it, and ways around in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from unittest.mock import MagicMock

import httpx2

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


@cache
def _paths() -> list[tuple[re.Pattern[str], Json]]:
    """Those that say most first, since a variable may be a path itself."""
    paths = sorted(document()["paths"].items(), key=lambda item: (item[0].count("{"), -len(item[0])))
    return [(re.compile(re.sub(r"\{\w+\}", ".+", path)), item) for path, item in paths]


def codes_of(method: str, path: str) -> set[str] | None:
    """The codes that the operation at this address may answer; None where the document knows of no operation."""
    known = re.sub(r"^(/v1/v1|/anthropic/v1)/", "/v1/", path)
    found = next((item for pattern, item in _paths() if pattern.fullmatch(known)), {}).get(method.lower())
    if found is None:
        return None
    replies = document()["components"]["responses"]
    names = [reply["$ref"].rpartition("/")[2] for reply in found["responses"].values() if "$ref" in reply]
    return {code for name in names for code in re.findall(r"`(\w+)`", replies[name]["description"])}


async def assert_told_of(reply: httpx2.Response) -> None:
    """A client's hook: whatever a test is refused with, the document says that it may be."""
    if reply.status_code < 400 or "json" not in reply.headers.get("content-type", "") or reply.request.method == "HEAD":
        return
    await reply.aread()
    body = reply.json()
    error = body.get("error") if isinstance(body, dict) else None
    codes = codes_of(reply.request.method, reply.request.url.path)
    if isinstance(error, dict) and codes is not None:
        code = error.get("code") or error["details"]["error_code"]
        assert code in codes, f"{reply.request.method} {reply.request.url.path} answers {code}, which is not documented"
