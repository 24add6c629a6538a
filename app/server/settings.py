"""How the server serves: addresses, limits, deadlines; and the Hypercorn configuration made from them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from time import time
from typing import Any
from wsgiref.handlers import format_date_time

import structlog
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.typing import ResponseSummary, WWWScope

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What one process serves. With `certfile` and `keyfile` it speaks TLS (ALPN h2, http/1.1), else clear text.

    `sockets`, when given, replace host and port: bound stream sockets, closed by the server when it ends.
    When `max_connections` are open the next ones wait in the backlog of the system.
    """

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    sockets: tuple[socket.socket, ...] = ()
    reuse_port: bool = False
    backlog: int = 2048
    certfile: str | None = None
    keyfile: str | None = None
    max_connections: int = 4096
    max_header_bytes: int = 32 * 1024  # checked while a header is incomplete; one read may bring 64 KiB
    max_message_bytes: int = 1024 * 1024  # of one WebSocket message
    handshake_deadline_s: float = 10  # TLS
    header_deadline_s: float = 15  # from the first byte of a request to the end of its header
    keep_alive_s: float = 75  # between two requests
    write_deadline_s: float = 30  # for a peer to take what is written
    drain_grace_s: float = 0  # from `shutdown` to the closing of the listener; all is served, so that balancers notice
    drain_s: float = 30  # for running requests to end, after that

    def __post_init__(self) -> None:
        if (self.certfile is None) != (self.keyfile is None):
            raise ValueError("certfile and keyfile go together: give both or none")

    def listen(self) -> list[socket.socket]:
        """The listening sockets, not blocking. Raises OSError if the address is taken."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sockets = list(self.sockets) or [
            socket.create_server((self.host, self.port), family=family, reuse_port=self.reuse_port)
        ]
        for each in sockets:
            each.setblocking(False)
            each.listen(self.backlog)
        return sockets


class HypercornConfig(Config):
    """Hypercorn's configuration with our limits. The Date header is formatted once a second, not once a response."""

    def __init__(self, settings: ServerSettings) -> None:
        self.certfile = settings.certfile
        self.keyfile = settings.keyfile
        self.logger_class = EventLog
        self.keep_alive_max_requests = 2**31  # at the default of 1000 live HTTP/2 streams freeze
        self.h2_max_concurrent_streams = 1000  # exceeding the default of 100 drops every stream of the connection
        self.h2_max_header_list_size = settings.max_header_bytes
        self.h11_max_incomplete_size = settings.max_header_bytes
        self.websocket_max_message_size = settings.max_message_bytes
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """`Date` and nothing else: which server it is concerns nobody."""
        if (second := int(time())) != self._second:
            self._second = second
            self._headers = [(b"date", format_date_time(second).encode("ascii"))]
        return self._headers


class EventLog(Logger):
    """Hypercorn's log as events: no access lines, no message content."""

    def __init__(self, config: Config) -> None:
        """Opens no handler: structlog has its own."""

    async def access(self, request: WWWScope, response: ResponseSummary, request_time: float) -> None:
        """The request log is the business of the application."""

    async def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.warning("hypercorn", message=message)

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.error("hypercorn", message=message)
