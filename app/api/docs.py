"""`/openapi.json` for machines and `/docs` for people: both made at start, from the same types that serve."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from app.api.exchange import Exchange, Headers
from app.api.openapi.everything import whole_document
from app.api.openapi.page import POLICY, render_page
from app.api.operation import Operation
from app.api.routes import Routes

HTML: Final[Headers] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
]
JSON: Final[Headers] = [(b"content-type", b"application/json")]


def routes(operations: Iterable[Operation]) -> Routes:
    """`operations` are those of the platform API."""
    api = Routes("docs")
    as_json, as_page = _made(tuple(operations))

    @api.add("GET", "/openapi.json")
    async def show_document(exchange: Exchange) -> None:
        await _reply(exchange, as_json, JSON)

    @api.add("GET", "/docs")
    async def show_page(exchange: Exchange) -> None:
        await _reply(exchange, as_page, HTML)

    return api


@lru_cache(maxsize=1)
def _made(operations: tuple[Operation, ...]) -> tuple[bytes, bytes]:
    """Document and page; a process makes them once, however many apps it builds."""
    document = whole_document(operations)
    return msgspec.json.encode(document), render_page(document)


async def _reply(exchange: Exchange, body: bytes, headers: Headers) -> None:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    cached = [(b"etag", tag.encode()), (b"cache-control", b"no-cache"), (b"x-content-type-options", b"nosniff")]
    if tag in (exchange.header(b"if-none-match") or ""):
        await exchange.start(304, cached)
        await exchange.send(b"", more=False)
    else:
        await exchange.reply(200, [*headers, *cached], body)
