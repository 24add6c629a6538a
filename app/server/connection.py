"""One connection from handshake to close: its wire, its protocol, its tasks; whatever happens in it stays in it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from math import inf
from typing import Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from app.core.errors import error_places
from app.server.apps import AppTasks
from app.server.http1 import HungUp, SafeH11
from app.server.http2 import SafeH2
from app.server.settings import ServerSettings
from app.server.wire import Wire

LINGER_S: Final = 1.0
#: For the first request of a connection that was accepted just before the end: it is on its way.
FIRST_REQUEST_S: Final = 1.0
LEAVE_S: Final = 5.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of one server share. `open` are those that live.

    `draining` is set when the end is announced, `context.terminated` when no request is taken any more.
    """

    app: AppWrapper
    config: Config
    context: WorkerContext
    state: LifespanState
    settings: ServerSettings
    tls: ssl.SSLContext | None
    draining: trio.Event = field(default_factory=trio.Event)
    open: set[Connection] = field(default_factory=set)


class Connection:
    """Reads until the peer leaves (half-closing is leaving), the idle deadline passes or the protocol is done.

    Then the applications hear a disconnect; those still running `LEAVE_S` later are cancelled.
    """

    def __init__(self, service: Service, sock: socket.socket) -> None:
        self._service = service
        self._sock = sock
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._tls: trio.SSLStream[trio.SocketStream] | None = None
        if service.tls is not None:
            self._tls = trio.SSLStream(stream, service.tls, server_side=True, https_compatible=True)
        self._wire = Wire(sock, self._tls or stream, service.settings.write_deadline_s)
        self._protocol: SafeH11 | SafeH2
        self._h2: SafeH2 | None = None
        self._awaits_head = False
        self._is_ending = False
        self._is_new = True

    async def run(self) -> None:
        """Serve this connection. An error in it is logged and closes it; nothing but a cancel comes out."""
        self._service.open.add(self)
        try:
            with trio.CancelScope() as life:
                if await self._shake_hands():
                    async with (tasks := AppTasks()):
                        await self._talk(tasks)
                        life.deadline = trio.current_time() + LEAVE_S
        except* OSError:
            pass
        except* Exception as group:  # noqa: BLE001
            log.error("connection_failed", errors=error_places(group))
        finally:
            self._service.open.discard(self)
            await self._wire.close()

    async def end_if_idle(self) -> None:
        """Where the peer can be told which of its requests was the last: not in HTTP/1.1, where only an answer can."""
        if self._h2 is not None and not self._is_new:
            await self._h2.end_if_idle()

    async def rest(self) -> None:
        """Take no request from now on, and close when none is running."""
        if self._h2 is not None and not self._is_new:
            self._h2.begin_no_more()
            await self._h2.end_if_idle()
        elif self._wire.deadline < inf:
            self._wire.deadline = self._rest_from()

    def cut(self) -> None:
        """Stop being patient with a peer that does not read."""
        self._wire.cut()

    async def _shake_hands(self) -> bool:
        if self._tls is None:
            return True
        with trio.move_on_after(self._service.settings.handshake_deadline_s):
            try:
                await self._tls.do_handshake()
            except trio.BrokenResourceError:
                return False
            return True
        return False

    async def _talk(self, tasks: AppTasks) -> None:
        service, family = self._service, self._sock.family
        self._wiring = (
            service.app,
            service.config,
            service.context,
            tasks,
            ConnectionState(service.state.copy()),
            self._tls is not None,
            parse_socket_addr(family, self._sock.getpeername()),
            parse_socket_addr(family, self._sock.getsockname()),
            self._send,
        )
        if self._tls is not None and self._tls.selected_alpn_protocol() == "h2":
            await self._become_h2(b"")
        else:
            self._protocol = SafeH11(service.draining, self._wire, *self._wiring)
            self._set_idle(True)
            await self._protocol.initiate()
        try:
            await self._read()
            if self._h2 is not None and not self._is_ending:  # idle for too long, or the peer is gone
                await self._h2.end_if_idle()
                await self._read()
        except HungUp:
            pass
        await self._protocol.handle(Closed())

    async def _read(self) -> None:
        while (data := await self._wire.receive()) != b"":
            if data is not None and not self._is_ending:
                await self._handle(data)

    async def _handle(self, data: bytes) -> None:
        try:
            await self._protocol.handle(RawData(data))
        except H2ProtocolAssumedError as preface:
            await self._become_h2(preface.data)
        except H2CProtocolRequiredError as upgrade:
            await self._become_h2(upgrade.data, upgrade.headers, upgrade.settings)
        if isinstance(self._protocol, SafeH11):
            await self._look_after(self._protocol)

    async def _become_h2(
        self, data: bytes, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        service = self._service
        self._protocol = self._h2 = SafeH2(service.draining, service.settings.write_deadline_s, *self._wiring)
        self._is_new = headers is None
        self._set_idle(True)  # the preface looked like a request
        await self._protocol.initiate(headers, settings)
        if data:
            await self._protocol.handle(RawData(data))
        if service.context.terminated.is_set():
            await self.rest()

    async def _look_after(self, protocol: SafeH11) -> None:
        if self._wire.deadline < inf:
            # A header that has begun must end soon: bytes that trickle in do not buy time.
            if protocol.connection.trailing_data[0]:
                latest = trio.current_time() + self._service.settings.header_deadline_s
                self._wire.deadline = min(self._wire.deadline, latest)
        elif protocol.stream is not None and protocol.stream.closed:
            # The protocol refused a WebSocket (bad handshake, bytes too early) and would keep the connection for ever.
            await self._end()

    async def _send(self, event: Event) -> None:
        """What the protocol wants of the connection."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            self._set_idle(event.idle)
        elif not self._is_ending:
            await self._end()

    async def _write(self, data: bytes) -> None:
        # No frame of HTTP/2 begins with these letters: its length would be far above the largest we allow.
        if self._awaits_head and data.startswith(b"HTTP/1.1 ") and data[9:10] != b"1":
            self._awaits_head = False
            await self._wire.write_head(data)
        else:
            await self._wire.write(data)

    def _set_idle(self, is_idle: bool) -> None:
        self._awaits_head = not is_idle
        self._is_new = self._is_new and is_idle
        if self._is_ending:
            return
        if not is_idle:
            self._wire.deadline = inf
        elif self._service.context.terminated.is_set() and self._h2 is None:
            self._wire.deadline = self._rest_from()
        else:
            self._wire.deadline = trio.current_time() + self._service.settings.keep_alive_s

    def _rest_from(self) -> float:
        return trio.current_time() + FIRST_REQUEST_S if self._is_new else -inf

    async def _end(self) -> None:
        """The protocol is done. What the peer still sends is read and dropped for a while.

        To close at once would answer those bytes with a reset, and that can destroy the response on its way.
        """
        self._is_ending = True
        await self._wire.write(b"")
        lingers = self._wire.end_writing() or self._h2 is not None  # an HTTP/2 peer closes when told GOAWAY
        self._wire.deadline = trio.current_time() + LINGER_S if lingers else -inf
        await self._protocol.handle(Closed())
