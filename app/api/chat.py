"""`POST /v1/chat/completions`: HTTP in, HTTP out; what happens between is `usecases.chat`."""

from __future__ import annotations

import trio

from app.api import credentials
from app.api.exchange import CRASHED, Exchange
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import JsonSink, StreamSink
from app.core.chat import ChatRequest, parse_chat
from app.core.chat_stream import ChatWriter
from app.core.errors import Problem
from app.core.identity import Principal
from app.observability.facts import CallFacts
from app.usecases.chat import run_chat
from app.usecases.sink import Served

ENDPOINT = "/v1/chat/completions"


def routes(services: ApiServices) -> Routes:
    api = Routes("chat")

    @api.add("POST", ENDPOINT)
    async def create_completion(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            credentials.check(exchange, principal, "llm")
            await _answer(services, exchange, principal, parse_chat(exchange.body))

        await services.access.run(credentials.api_key(exchange), answer)

    return api


async def _answer(services: ApiServices, exchange: Exchange, principal: Principal, chat: ChatRequest) -> None:
    exchange.call = facts = CallFacts(exchange.request_id, ENDPOINT, exchange.began)
    facts.streamed, facts.sdk_retries = chat.stream, _retries(exchange)
    if not chat.stream:
        whole = JsonSink(exchange, chat.n, logprobs=chat.wants_logprobs)
        await run_chat(services.chat, principal, chat, whole, facts)
        return

    def make_writer(served: Served) -> ChatWriter:
        return ChatWriter(
            served.id,
            served.created,
            served.model,
            chat.n,
            include_usage=chat.include_usage,
            logprobs=chat.wants_logprobs,
        )

    sink = StreamSink(exchange, services.stream_rules, make_writer)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run_clock)
        try:
            await run_chat(services.chat, principal, chat, sink, facts)
        except Exception as error:  # noqa: BLE001 - raised again outside, where it is not in a group
            told = isinstance(error, Problem) and sink.opened
            failure = None if told else error
            if sink.opened:
                await sink.fail(error if isinstance(error, Problem) else Problem("internal_error", CRASHED))
        finally:
            facts.heartbeats, facts.blocked_s = sink.heartbeats, sink.blocked_s
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _retries(exchange: Exchange) -> int:
    """What an SDK says of its own retries (compat.md H8)."""
    text = exchange.header(b"x-stainless-retry-count") or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
