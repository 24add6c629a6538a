"""One HTTP request from its head to its last byte: id, bounded body, hang-up, reply, access line.

Takes the place of quart-trio's connection class. It reads the body whole and bounded before the app runs (traps.md 1
and 10) and runs the handler in the task it was given. The server's inbox cancels that task when the client leaves, so
that a request needs no second task to listen for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
import trio
from quart import Quart, Response
from quart_trio.asgi import TrioASGIHTTPConnection

from app.api import cors
from app.api.access_log import AccessLog
from app.api.recording import Recording
from app.core import messages_errors
from app.core.addresses import Networks
from app.core.errors import Problem, error_places
from app.core.identity import now_us
from app.observability.facts import CallFacts, RequestFacts
from app.observability.names import OTHER
from app.observability.observer import Observer

log = structlog.get_logger(__name__)
#: The server's extension that calls back when the client leaves.
WHEN_LEFT: Final = "callmissed.when_left"
SCOPE_KEY: Final = "callmissed.exchange"
DRAIN_S: Final = 2.0
CRASHED: Final = "The gateway failed at this request. Nothing was charged; tell support the request id."
HTTP_NO_CONTENT: Final = 204
#: What is noted as the status of a request whose client left before it had one.
CLIENT_LEFT: Final = 499
TOO_SLOW: Final = "The request body did not arrive within {:.0f} seconds. Send it again."
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """Bounds of every request."""

    body_cap: int = 20 * 1024 * 1024
    body_deadline_s: float = 60.0
    #: Largest upload, what its form adds to the file left aside.
    upload_cap: int = 25 * 1024 * 1024
    #: Bytes a second that a body must bring on average beyond that time.
    slowest_body: int = 32 * 1024
    dashboard_origin: str | None = None
    #: Whose X-Forwarded-For is believed.
    proxies: Networks = ()


class Left(Exception):
    """The client closed before its request was complete."""


class Exchange(TrioASGIHTTPConnection):
    """Made by the app for each request; handlers are given it."""

    def __init__(self, app: Quart, scope: Any) -> None:
        super().__init__(app, scope)
        self.rules: ExchangeRules = app.config["EXCHANGE_RULES"]
        self.direct: dict[tuple[str, str], Callable[[Exchange], Awaitable[None]]] = app.config["DIRECT_ROUTES"]
        self.access_log: AccessLog | None = app.config["ACCESS_LOG"]
        uploads: frozenset[tuple[str, str]] = app.config["UPLOAD_ROUTES"]
        self._route = (scope["method"], scope["path"].rstrip("/"))
        #: Its handler reads the body itself, piece by piece.
        self._is_upload = self._route in uploads
        self._received = 0
        self._received_all = False
        self.observer: Observer = app.config["OBSERVER"]
        self.at_us = now_us()
        self.began = trio.current_time()
        self.request_id = "req_" + secrets.token_hex(12)
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        #: Errors and some headers go out in Anthropic's form (spec.md section 9.4).
        self.speaks_messages = messages_errors.speaks_messages(
            scope["path"], versioned=b"anthropic-version" in self.headers
        )
        self.body = b""
        self.status = 0
        self.sent_bytes = 0
        self._ended = False
        #: Of a request under an idempotency key.
        self.recording: Recording | None = None
        #: What the access line says besides; handlers fill it.
        self.note: dict[str, object] = {}
        #: The route's rule, for metrics: never the path as sent.
        self.endpoint = OTHER
        self.left_at: float | None = None
        #: The facts of the billable call that this request made.
        self.call: CallFacts | None = None
        self.trace = self.observer.request_began(self.request_id, self.headers.get(b"traceparent"))
        self._send: Callable[[Any], Awaitable[None]]
        self._receive: Callable[[], Awaitable[Any]]
        self._scope = trio.CancelScope()
        scope[SCOPE_KEY] = self

    async def __call__(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        self._send, self._receive = send, receive
        try:
            if self.scope["method"] == "OPTIONS":
                await self.reply(204, cors.preflight(self.headers), b"")
                return
            try:
                self.body = b"" if self._is_upload else await self._read()
            except Problem as problem:
                await self.refuse(problem)
                await _drain(receive)
                return
            with self._scope:
                when_left: Any = self.scope["extensions"][WHEN_LEFT]
                when_left(self._leave)
                await self._answer()
                if not self._received_all:
                    await _drain(receive)
        except Left:
            self.status = self.status or CLIENT_LEFT
        finally:
            self.observer.request_ended(self._facts())
            if self.access_log is not None:
                self.access_log.write(self)

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin1")

    @property
    def host(self) -> str:
        """The host that the client asked for, with its port if it is not the usual one."""
        return self.header(b":authority") or self.header(b"host") or ""

    def query(self, name: str) -> str:
        """The first value of a query parameter, "" without."""
        return parse_qs(self.scope["query_string"].decode("latin1")).get(name, [""])[0]

    @property
    def started(self) -> bool:
        """Whether a status has been sent."""
        return self.status != 0

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head, with the headers that every reply carries."""
        self.status = status
        head = [*headers, (b"x-request-id", self.request_id.encode())]
        if self.speaks_messages:
            head.append((b"request-id", self.request_id.encode()))
        if b"origin" in self.headers:
            head += cors.reply_headers(self.headers[b"origin"], self.rules.dashboard_origin)
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    async def send(self, data: bytes, *, more: bool = True) -> None:
        """Send a piece of the body. Waits while the client reads slowly."""
        self.sent_bytes += len(data)
        self._ended = not more
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer of known length."""
        if self.recording is not None:
            await self.recording.reply(status, headers, body)
        length = [] if status == HTTP_NO_CONTENT else [(b"content-length", str(len(body)).encode())]
        await self.start(status, [*headers, *length])
        await self.send(body, more=False)

    async def reply_json(self, body: bytes, headers: Headers | None = None, status: int = 200) -> None:
        await self.reply(status, [(b"content-type", b"application/json"), *(headers or ())], body)

    async def refuse(self, problem: Problem) -> None:
        """The error envelope with its headers; a connection whose request is not read to its end is closed."""
        self.note["code"] = problem.code
        if self.speaks_messages:
            status, body = messages_errors.status_of(problem), messages_errors.body(problem, self.request_id)
            named = messages_errors.response_headers(problem)
        else:
            status, body, named = problem.status, problem.body(), problem.response_headers()
        headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        if not self._received_all:
            headers.append((b"connection", b"close"))
        await self.reply_json(body, headers, status)

    async def fail(self, error: Exception) -> None:
        """Answer for what a handler raised: a Problem as itself, anything else is our bug: logged, and a 500."""
        if not isinstance(error, Problem):
            log.error("request.crashed", request_id=self.request_id, errors=error_places(error))
            error = Problem("internal_error", CRASHED)
        if not self.started:
            await self.refuse(error)
        else:  # the client sees that the answer breaks off
            self.note["code"] = error.code

    def abandon(self) -> None:
        """End the exchange as if the client had left: it does not read any more."""
        self.note["stuck"] = True
        self._scope.cancel()

    def _leave(self) -> None:
        """The client is gone. After the last byte that is how every exchange ends."""
        if not self._ended:
            self.note["left"] = True
            self.left_at = trio.current_time()
            self._scope.cancel()

    async def _answer(self) -> None:
        """Run the handler. Whatever it raises becomes a reply, unless one has begun."""
        route = self._route if self._is_upload else (self.scope["method"], self.scope["path"])
        handler = self.direct.get(route)
        if handler is None:
            await self._answer_by_quart()
            return
        self.endpoint = route[1]
        try:
            await handler(self)
        except Left:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort of every handler
            await self.fail(error)

    async def _answer_by_quart(self) -> None:
        request = self._create_request_from_scope(self._send)
        request.body.append(self.body)
        request.body.set_complete()
        response = await self.app.handle_request(request)
        if self.started:
            return
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
        body = await response.get_data() if isinstance(response, Response) else response.get_data()
        await self.reply(
            response.status_code,
            [header for header in headers if header[0] != b"content-length"],
            body if isinstance(body, bytes) else body.encode(),
        )

    def _facts(self) -> RequestFacts:
        code = self.note.get("code")
        return RequestFacts(
            request_id=self.request_id,
            method=self.scope["method"],
            endpoint=self.endpoint,
            status=self.status or CLIENT_LEFT,
            at_us=self.at_us,
            began=self.began,
            ended=trio.current_time(),
            code=None if code is None else str(code),
            left_at=self.left_at,
            trace=self.trace,
            call=self.call,
        )

    async def receive(self, cap: int) -> bytes:
        """What the network brings next of the body, b"" at its end.

        Raises Problem when more than `cap` bytes come or they come too slowly, Left when the client goes.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > cap:
            raise self._too_large(cap)
        while not self._received_all:
            patience_s = self.rules.body_deadline_s + self._received / self.rules.slowest_body
            with trio.move_on_at(self.began + patience_s) as scope:
                message = await self._receive()
            if scope.cancelled_caught:
                raise Problem("invalid_request_error", TOO_SLOW.format(patience_s))
            if message["type"] == "http.disconnect":
                raise Left
            data: bytes = message.get("body", b"")
            self._received += len(data)
            if self._received > cap:
                raise self._too_large(cap)
            self._received_all = not message.get("more_body", False)
            if data:
                return data
        return b""

    async def _read(self) -> bytes:
        """The whole body. Raises as `receive`."""
        body = bytearray()
        while piece := await self.receive(self.rules.body_cap):
            body += piece
        return bytes(body)

    @staticmethod
    def _too_large(cap: int) -> Problem:
        return Problem("request_too_large", f"The request body is larger than {cap} bytes.")


async def _drain(receive: Callable[[], Awaitable[Any]]) -> None:
    """Read on for a moment after a refusal, so that a client still sending gets to see the answer."""
    with trio.move_on_after(DRAIN_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return
