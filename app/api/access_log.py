"""One JSON line for each request, after it: no query string, no header, no content (design.md invariant 7)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec
import trio

if TYPE_CHECKING:
    from app.api.exchange import Exchange


#: Asked every few seconds by each balancer and collector: their good answers say nothing.
PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
#: What follows opens by itself: who reads the log must not be able to use it.
LINKS: Final = ("/v1/images/files/", "/v1/channels/media/", "/invitations/")


class AccessLog:
    """Writes to `out`; a line that cannot be written is lost, never an error of the request.

    `process` tells in each line who wrote it.
    """

    def __init__(self, out: TextIO, process: Mapping[str, Any]) -> None:
        self._out = out
        self._process = process

    def write(self, exchange: Exchange) -> None:
        if exchange.scope["path"] in PROBES and exchange.status == 200:
            return
        path = exchange.scope["path"]
        line = {
            "event": "request",
            "timestamp": datetime.datetime.fromtimestamp(exchange.at_us / 1e6, datetime.UTC).isoformat(),
            "request_id": exchange.request_id,
            "method": exchange.scope["method"],
            "path": next((link for link in LINKS if path.startswith(link)), path),
            "http": exchange.scope["http_version"],
            "status": exchange.status,
            "ms": round((trio.current_time() - exchange.began) * 1000, 1),
            "bytes": exchange.sent_bytes,
            **exchange.trace.ids(),
            **self._process,
            **exchange.note,
        }
        try:
            self._out.write(msgspec.json.encode(line).decode() + "\n")
        except (OSError, ValueError):
            return
