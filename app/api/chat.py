"""`POST /v1/chat/completions`: HTTP in, HTTP out; what happens between is `usecases.chat`."""

from __future__ import annotations

from app.api.answering import answer_streamed, begin_facts
from app.api.exchange import Exchange
from app.api.idempotent import answer_once
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import JsonSink, StreamSink
from app.core.chat import ChatRequest, parse_chat
from app.core.chat_stream import ChatWriter
from app.core.identity import Principal
from app.usecases.chat import run_chat
from app.usecases.sink import Served

ENDPOINT = "/v1/chat/completions"


def routes(services: ApiServices) -> Routes:
    api = Routes("chat")

    @api.add("POST", ENDPOINT)
    async def create_completion(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            await _answer(services, exchange, principal, parse_chat(exchange.body))

        await answer_once(services, exchange, "llm", answer)

    return api


async def _answer(services: ApiServices, exchange: Exchange, principal: Principal, chat: ChatRequest) -> None:
    facts = begin_facts(exchange, ENDPOINT, chat)
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
    await answer_streamed(services, principal, chat, sink, facts)
