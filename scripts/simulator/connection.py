"""One connection: one task reads, so that a hang-up is seen at once, another answers request after request."""

from __future__ import annotations

import logging
import socket
import struct
from typing import Final

import h11
import trio

from scripts.simulator.book import Book, Outcome, Record
from scripts.simulator.player import Player
from scripts.simulator.routes import Request, Surface, ask, attend, find_surface
from scripts.simulator.script import Script, json_script
from scripts.simulator.settings import Settings
from scripts.simulator.whatsapp import surfaces as whatsapp
from scripts.simulator.whatsapp.phones import Phones

log = logging.getLogger("simulator")

_READ_BYTES: Final = 64 * 1024
#: Bytes a peer may send ahead of what is being answered.
_AHEAD_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 64 * 1024
#: SO_LINGER on, 0 seconds: closing sends RST.
_RESET: Final = struct.pack("ii", 1, 0)


class BadRequest(Exception):
    """The peer's HTTP cannot be answered; the status says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def serve_connection(sock: trio.socket.SocketType, settings: Settings, book: Book, phones: Phones) -> None:
    """Answer until the peer hangs up or an answer ends the connection, then close it. Cancelled: close it at once."""
    connection = _Connection(sock, settings, book, phones)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.watch, nursery.cancel_scope)
            await connection.answer_all()
            nursery.cancel_scope.cancel()
    finally:
        sock.close()


class _Connection:
    def __init__(self, sock: trio.socket.SocketType, settings: Settings, book: Book, phones: Phones) -> None:
        self._sock = sock
        self._settings = settings
        self._book = book
        self._phones = phones
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._arrived = trio.Event()
        self._ahead = 0
        self._record: Record | None = None

    async def watch(self, answering: trio.CancelScope) -> None:
        """Read all the time; at the peer's FIN or RST stamp the running record and stop the answer.

        A peer that sends too far ahead of its answers is dropped: nobody would notice its hang-up behind all that.
        """
        while data := await self._received():
            self._http.receive_data(data)
            self._arrived.set()
            self._ahead += len(data)
            if self._ahead > _AHEAD_BYTES:
                log.warning("a peer sent %d bytes ahead and was dropped", self._ahead)
                answering.cancel()
                return
        if self._record is not None:
            self._record.close_seen = self._book.now()
        answering.cancel()

    async def _received(self) -> bytes:
        """The next bytes; none when the peer has hung up."""
        try:
            return await self._sock.recv(_READ_BYTES)
        except OSError:
            return b""

    async def answer_all(self) -> None:
        """One request after the other, until an answer or the peer's bad HTTP ends the connection."""
        while True:
            try:
                request = await self._read_request()
            except (BadRequest, h11.RemoteProtocolError) as problem:
                status = problem.status if isinstance(problem, BadRequest) else problem.error_status_hint
                await self._perform(json_script({"error": str(problem)}, status), self._book.blank("", "", ()))
                return
            if not await self._answer(request):
                return
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _read_request(self) -> Request:
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            raise BadRequest(400, "a request was expected")
        if self._http.they_are_waiting_for_100_continue:
            await self._sock.send(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        parts, size = [], 0
        while isinstance(event := await self._next_event(), h11.Data):
            size += len(event.data)
            if size > self._settings.max_body_bytes:
                raise BadRequest(413, "the body is too large")
            parts.append(bytes(event.data))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return Request(head.method.decode(), head.target.decode("latin-1"), headers, b"".join(parts))

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._ahead = 0
            self._arrived = trio.Event()
            await self._arrived.wait()

    async def _answer(self, request: Request) -> bool:
        """Whether the connection may go on."""
        surface = find_surface(request)
        record = self._book.blank(surface.dialect.name if surface else "", request.target, request.headers.items())
        if surface is not None:
            self._book.enter(record)
        return await self._perform(await self._decide(surface, request, record), record)

    async def _decide(self, surface: Surface | None, request: Request, record: Record) -> Script:
        try:
            if surface is None:
                found = whatsapp.find_route(request)
                return await whatsapp.answer(self._phones, request, found) if found else attend(request, self._book)
            return ask(surface, request, record, self._book, self._settings)
        except Exception:
            log.exception("no answer to %s %s", request.method, request.target)
            return json_script({"error": "the simulator failed; its log says why"}, 500)

    async def _perform(self, script: Script, record: Record) -> bool:
        """Play the script and close the record, however it ends; whether the connection may go on."""
        self._record = record
        played = False
        try:
            await Player(self._sock, self._http, record, self._book).play(script)
            played = True
        except OSError:
            record.close_seen = record.close_seen or self._book.now()
        finally:
            self._book.close(record, _outcome(script, record, played=played))
            self._record = None
        if script.ending == "rst":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return script.ending == "end" and record.close_seen is None


def _outcome(script: Script, record: Record, *, played: bool) -> Outcome:
    if played:
        return "faulted" if script.fault else "finished"
    return "faulted" if record.close_seen is None else "peer_closed"
