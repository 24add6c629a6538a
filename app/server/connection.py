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
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from app.core.errors import error_places
from app.server.apps import AppTasks
from app.server.protocols import HungUp, Pause, SafeH2
from app.server.settings import ServerSettings
from app.server.wire import Wire

LINGER_S: Final = 1.0
LEAVE_S: Final = 5.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of one server share. `open` are those that live."""

    app: AppWrapper
    config: Config
    context: WorkerContext
    state: LifespanState
    settings: ServerSettings
    tls: ssl.SSLContext | None
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
        self._protocol: H11Protocol | H2Protocol
        self._awaits_head = False
        self._is_ending = False

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

    def rest(self) -> None:
        """Close now if no request is running; used when the server drains."""
        if self._wire.deadline < inf:
            self._wire.deadline = -inf

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
            self._protocol = SafeH2(self._service.settings.write_deadline_s, *self._wiring)
        else:
            self._protocol = H11Protocol(*self._wiring)
            self._protocol.can_read = Pause(self._wire)
        self._set_idle(True)
        await self._protocol.initiate()
        try:
            while (data := await self._wire.receive()) != b"":
                if data is not None and not self._is_ending:
                    await self._handle(data)
        except HungUp:
            pass
        await self._protocol.handle(Closed())

    async def _handle(self, data: bytes) -> None:
        try:
            await self._protocol.handle(RawData(data))
        except H2ProtocolAssumedError as preface:
            await self._become_h2(preface.data)
        except H2CProtocolRequiredError as upgrade:
            await self._become_h2(upgrade.data, upgrade.headers, upgrade.settings)
        if isinstance(self._protocol, H11Protocol):
            await self._look_after(self._protocol)

    async def _become_h2(
        self, data: bytes, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None
    ) -> None:
        self._protocol = SafeH2(self._service.settings.write_deadline_s, *self._wiring)
        self._set_idle(True)  # the preface looked like a request
        await self._protocol.initiate(headers, settings)
        if data:
            await self._protocol.handle(RawData(data))

    async def _look_after(self, protocol: H11Protocol) -> None:
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
        if self._is_ending:
            return
        if not is_idle:
            self._wire.deadline = inf
        elif self._service.context.terminated.is_set():
            self._wire.deadline = -inf
        else:
            self._wire.deadline = trio.current_time() + self._service.settings.keep_alive_s

    async def _end(self) -> None:
        """The protocol is done. What the peer still sends is read and dropped for a while.

        To close at once would answer those bytes with a reset, and that can destroy the response on its way.
        """
        self._is_ending = True
        await self._wire.write(b"")
        self._wire.deadline = trio.current_time() + LINGER_S if self._wire.end_writing() else -inf
        await self._protocol.handle(Closed())
