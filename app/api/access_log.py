"""One JSON line for each request, after it: no query string, no header, no content (design.md invariant 7)."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, TextIO

import msgspec
import trio

if TYPE_CHECKING:
    from app.api.exchange import Exchange


class AccessLog:
    """Writes to `out`; a line that cannot be written is lost, never an error of the request."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, exchange: Exchange) -> None:
        line = {
            "event": "request",
            "timestamp": datetime.datetime.fromtimestamp(exchange.at_us / 1e6, datetime.UTC).isoformat(),
            "request_id": exchange.request_id,
            "method": exchange.scope["method"],
            "path": exchange.scope["path"],
            "http": exchange.scope["http_version"],
            "status": exchange.status,
            "ms": round((trio.current_time() - exchange.began) * 1000, 1),
            "bytes": exchange.sent_bytes,
            **exchange.note,
        }
        try:
            self._out.write(msgspec.json.encode(line).decode() + "\n")
        except (OSError, ValueError):
            return
