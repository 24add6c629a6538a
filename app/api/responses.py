"""`/v1/responses` over the chat engine: create, read back, resume, list what was sent, delete (spec.md section 7)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from app.api import credentials
from app.api.answering import answer_streamed, begin_facts
from app.api.exchange import Exchange
from app.api.idempotent import answer_once
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import EVENT_STREAM, StreamSink, nothing
from app.api.whole import WholeSink
from app.core.deltas import Delta, Usage
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.packing import Packer, unpack
from app.core.responses import ResponseRequest, chat_of, echo, in_our_words, parse_response
from app.core.responses_object import ResponseObject
from app.core.responses_output import PREFIX
from app.core.responses_stream import ResponsesWriter
from app.usecases.chat import run_chat
from app.usecases.responses import Responses, page
from app.usecases.settling import Beside
from app.usecases.sink import Served

ENDPOINT: Final = "/v1/responses"
ONE: Final = f"{ENDPOINT}/<response_id>"
PAGE, LONGEST_PAGE = 20, 100
#: A stream that packs into no less is kept as its response only.
EVENTS_MAX: Final = 2 * 1024 * 1024
EVENT_END: Final = b"\n\n"


def routes(services: ApiServices) -> Routes:
    api = Routes("responses")

    async def reader(exchange: Exchange) -> str:
        """The tenant that reads its own."""
        principal = await services.access.check(credentials.api_key(exchange))
        credentials.check(exchange, principal, "llm")
        return principal.tenant_id

    @api.add("POST", ENDPOINT)
    async def create_response(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            await _answer(services, exchange, principal, parse_response(exchange.body))

        try:
            await answer_once(services, exchange, "llm", answer)
        except Problem as problem:
            raise in_our_words(problem) from None

    @api.add("GET", ONE)
    async def show_response(exchange: Exchange, response_id: str) -> None:
        found = await services.responses.find(await reader(exchange), response_id)
        stream, after = exchange.query("stream"), _number(exchange, "starting_after", -1)
        if stream not in ("", "true", "false"):
            raise Problem("invalid_value", "stream must be true or false.", "stream")
        if stream == "true":
            await _resume(exchange, found.events, after)
        else:
            await exchange.reply_json(found.response.encode())

    @api.add("DELETE", ONE)
    async def delete_response(exchange: Exchange, response_id: str) -> None:
        await services.responses.delete(await reader(exchange), response_id)
        await exchange.reply_json(msgspec.json.encode({"id": response_id, "object": "response", "deleted": True}))

    @api.add("GET", f"{ONE}/input_items")
    async def list_input_items(exchange: Exchange, response_id: str) -> None:
        items = await services.responses.input_items(await reader(exchange), response_id)
        order = exchange.query("order") or "desc"
        if order not in ("asc", "desc"):
            raise Problem("invalid_value", "order must be asc or desc.", "order")
        limit = _number(exchange, "limit", PAGE)
        if not 1 <= limit <= LONGEST_PAGE:
            raise Problem("invalid_value", f"limit must be an integer from 1 to {LONGEST_PAGE}.", "limit")
        listed = page(items, after=exchange.query("after"), limit=limit, order=order)
        await exchange.reply_json(msgspec.json.encode(listed))

    @api.add("POST", f"{ONE}/cancel")
    async def cancel_response(exchange: Exchange, response_id: str) -> None:
        await services.responses.find(await reader(exchange), response_id)
        message = "Only background responses can be cancelled. To stop one that is streamed, close its connection."
        raise Problem("invalid_request_error", message, "response_id")

    return api


async def _answer(services: ApiServices, exchange: Exchange, principal: Principal, asked: ResponseRequest) -> None:
    previous_id = asked.fields.previous_response_id
    chat = chat_of(asked, await services.responses.history(principal.tenant_id, previous_id))
    facts = begin_facts(exchange, ENDPOINT, chat, PREFIX)
    kept = Kept(services.responses, principal.tenant_id, asked)
    keep = kept.keep if asked.store else nothing
    if chat.stream:
        sink = StreamSink(exchange, services.stream_rules, kept.make_writer, keep)
        await answer_streamed(services, principal, chat, sink, facts)
    else:
        await run_chat(services.chat, principal, chat, WholeSink(exchange, kept.make_writer, keep), facts)


class Kept:
    """Makes the writer of one answer, and what is stored of it in the end."""

    def __init__(self, responses: Responses, tenant_id: str, asked: ResponseRequest) -> None:
        self._responses = responses
        self._tenant_id = tenant_id
        self._asked = asked
        self._records = asked.store and bool(asked.fields.stream)
        self._writer: ResponsesWriter
        self._events: Packer | None = None
        self._id = ""

    def make_writer(self, served: Served) -> ResponsesWriter:
        self._id = served.id
        shape = ResponseObject(served.id, served.created, served.model, echo(self._asked))
        logprobs = self._asked.wants_logprobs
        if not self._records:
            self._writer = ResponsesWriter(shape, _seconds, logprobs=logprobs)
        else:
            self._events = Packer()
            self._writer = RecordingWriter(shape, self._events, logprobs=logprobs)
        return self._writer

    def keep(self, finishes: Mapping[int, str], usage: Usage) -> Beside:
        """What stores the whole answer, its last events included: they are sent when it is stored."""
        ending = self._writer.ending(finishes, usage)
        events = ""
        if self._events is not None:
            self._events.add(ending.events)
            events = self._events.text()
        if len(events) > EVENTS_MAX:
            events = ""
        return self._responses.keep(self._tenant_id, self._asked, self._id, ending.response, events)


class RecordingWriter(ResponsesWriter):
    """Keeps what it has written, but for the end: that is kept before it is written."""

    __slots__ = ("_record",)

    def __init__(self, response: ResponseObject, record: Packer, *, logprobs: bool) -> None:
        super().__init__(response, _seconds, logprobs=logprobs)
        self._record = record

    def open(self) -> bytes:
        return self._record.add(super().open())

    def write(self, deltas: Sequence[Delta]) -> bytes:
        return self._record.add(super().write(deltas))

    def heartbeat(self) -> bytes:
        return self._record.add(super().heartbeat())


async def _resume(exchange: Exchange, packed: str, after: int) -> None:
    """The stored events after that number, byte by byte as they were sent."""
    if not packed:
        message = "This response has no stored events: it was not streamed, or too large. Get it without `stream`."
        raise Problem("invalid_request_error", message, "stream")
    events = unpack(packed).split(EVENT_END)[:-1]
    if after >= len(events):
        raise Problem("invalid_value", f"starting_after must be less than {len(events)}.", "starting_after")
    await exchange.start(200, EVENT_STREAM)
    await exchange.send(b"".join(event + EVENT_END for event in events[after + 1 :]), more=False)


def _number(exchange: Exchange, name: str, default: int) -> int:
    text = exchange.query(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Problem("invalid_value", f"{name} must be an integer that is not negative.", name)
    return int(text)


def _seconds() -> int:
    return int(time.time())
