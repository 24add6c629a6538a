"""Chat over any dialect: ask, read the stream as deltas, and turn every way of failing into one `UpstreamError`."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import trio

from app.core import sse
from app.core.deltas import Delta
from app.core.errors import UpstreamError
from app.core.normalise import Malformed, Normaliser, StreamFault
from app.providers.dialect import CancelSemantics, ChatAsk, Dialect, Outgoing
from app.providers.upstream import BROKEN, Reply, Request, Upstream

HTTP_OK: Final = 200
LIST_S: Final = 10.0
#: How long the end mark of an answer that is complete is waited for.
END_S: Final = 2.0
JSON_ANSWER_CAP: Final = 32 * 1024 * 1024


class ChatReply:
    """One question and its answer. Enter to ask, `read` until None; `normaliser` knows usage, finishes and the pick.

    Entering raises UpstreamError for every refusal; leaving gives the connection back or closes it, as does a cancel.
    """

    def __init__(self, request: Request, dialect: Dialect, ask: ChatAsk, choices: int) -> None:
        self.normaliser = Normaliser(choices)
        self._request = request
        self._reply: Reply
        self._dialect = dialect
        self._ask = ask
        self._decoder = sse.Decoder()
        self._streams = True
        self._ended = False
        self._handed_out = False
        #: The answer is complete but its own end mark never came.
        self.unmarked = False
        self._failure: UpstreamError | None = None

    async def __aenter__(self) -> Self:
        reply = await self._request.__aenter__()
        try:
            if not 200 <= reply.status < 300:
                body = await reply.read()
                raise self._dialect.refusal(reply.status, reply.headers, body, self._ask.upstream_model, self._ask)
        except BaseException as error:
            await self._request.__aexit__(type(error), error, error.__traceback__)
            raise
        self._reply = reply
        self._streams = "json" not in reply.headers.get("content-type", "")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._ended:
                await self._reply.drain()
        except BaseException as broken:
            await self._request.__aexit__(type(broken), broken, broken.__traceback__)
            raise
        await self._request.__aexit__(kind, error, trace)

    @property
    def cancel_semantics(self) -> CancelSemantics:
        return self._dialect.cancel_semantics(self.normaliser.upstream_provider, self._ask.upstream_model)

    @property
    def waited_s(self) -> float:
        """How long the provider has been waited for; known from the asking on, whatever becomes of it."""
        return self._request.waited_s

    async def read(self) -> list[Delta] | None:
        """What one network read brought, possibly nothing; None when the provider has finished properly.

        Raises UpstreamError when the stream breaks off, is malformed, reports an error or ends without a finish.
        """
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return None
        data = await self._receive()
        deltas: list[Delta] = []
        try:
            if not self._streams:
                return await self._read_json(data)
            payloads = self._decoder.feed(data) if data else self._decoder.end()
            if payloads:
                self._reply.fed()
            for payload in payloads:
                if payload == sse.DONE:
                    self._ended = True
                    break
                deltas += self.normaliser.feed(payload)
            self._ended = self._ended or not data
            if self._ended:
                self._reply.over()
                deltas += self._close()
        except StreamFault as fault:
            return self._fail(self._dialect.fault(fault.error, self._ask), deltas)
        except (Malformed, ValueError) as error:
            return self._fail(_malformed(error), deltas)
        except UpstreamError as error:
            return self._fail(error, deltas)
        self._handed_out = self._handed_out or bool(deltas)
        return deltas

    def _fail(self, failure: UpstreamError, deltas: list[Delta]) -> list[Delta]:
        """What came before the failure in the same read is handed out first, unless another route can begin anew."""
        if not (deltas and self._handed_out):
            raise failure
        self._failure = failure
        return deltas

    async def _receive(self) -> bytes:
        """The next bytes, b"" at the end; an answer that has finish and usage lacks nothing (pains.md B10)."""
        if not (self.normaliser.finished and self.normaliser.usage_final):
            return await self._reply.receive()
        with trio.move_on_after(END_S), suppress(UpstreamError):
            return await self._reply.receive()
        self.unmarked = True
        return b""

    async def _read_json(self, first: bytes) -> list[Delta]:
        body = first
        while len(body) < JSON_ANSWER_CAP and (piece := await self._reply.receive()):
            body += piece
        self._ended = True
        self._reply.over()
        deltas = self.normaliser.from_message(body)
        return deltas + self._close()

    def _close(self) -> list[Delta]:
        deltas = self.normaliser.close()
        if not self.normaliser.finished:
            raise UpstreamError(
                "upstream_error", BROKEN, retry="once", breaker="count", detail="the stream ended without a finish"
            )
        return deltas


class ChatProvider:
    """One configured provider that can chat: a dialect and the host it is spoken to."""

    def __init__(self, dialect: Dialect, upstream: Upstream, first_byte_s: float) -> None:
        self.name = dialect.name
        self.dialect = dialect
        self.upstream = upstream
        self.first_byte_s = first_byte_s

    def chat(self, outgoing: Outgoing, ask: ChatAsk, choices: int) -> ChatReply:
        """The question, ready to be asked."""
        request = self.upstream.request(b"POST", outgoing.path, outgoing.headers, outgoing.body, self.first_byte_s)
        return ChatReply(request, self.dialect, ask, choices)

    async def list_models(self) -> list[Any]:
        """The upstream's own model list (`data` of its reply). Raises UpstreamError."""
        async with self._get("/models") as reply:
            body = await reply.read(JSON_ANSWER_CAP)
            if reply.status != HTTP_OK:
                raise UpstreamError("provider_error", BROKEN, status=reply.status, detail="no model list")
        try:
            models = msgspec.json.decode(body)["data"]
        except (msgspec.DecodeError, KeyError, TypeError):
            raise UpstreamError("provider_error", BROKEN, detail="the model list is not a model list") from None
        return models if isinstance(models, list) else []

    async def probe(self) -> int:
        """The status of a free request with our key. Raises UpstreamError when the host is not reached."""
        async with self._get(self.dialect.probe_path) as reply:
            return reply.status

    def _get(self, path: str) -> Request:
        return self.upstream.request(b"GET", path, self.dialect.headers, b"", LIST_S)


def _malformed(error: Exception) -> UpstreamError:
    return UpstreamError("upstream_error", BROKEN, retry="once", breaker="count", detail=str(error)[:200])
