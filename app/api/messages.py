"""Anthropic's Messages over the chat engine: `/v1/messages`, its twins and `count_tokens` (spec.md section 9)."""

from __future__ import annotations

from typing import Final

import msgspec

from app.api import credentials
from app.api.answering import answer_streamed, begin_facts
from app.api.exchange import Exchange
from app.api.idempotent import answer_once
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import StreamSink
from app.api.whole import WholeSink
from app.core.identity import Principal
from app.core.messages import MessagesRequest, chat_request, parse_count, parse_messages, prompt_request
from app.core.messages_blocks import Thinking
from app.core.messages_content import Asked
from app.core.messages_stream import MessageFold, MessagesWriter, Opening
from app.usecases.chat import run_chat
from app.usecases.counting import count_prompt
from app.usecases.models import Models, refuse
from app.usecases.sink import Served
from catalog.names import passthrough_id
from catalog.routing import Refusal

#: An SDK given the host, the host with `/v1` or with `/anthropic` adds `/v1/messages` itself.
PREFIXES: Final = ("/v1", "/v1/v1", "/anthropic/v1")
ID_PREFIX: Final = "msg_"
#: The one switch of compat.md M8: whether a `message_stop` follows the error of an answer that has begun.
ERROR_THEN_STOP = False


def routes(services: ApiServices) -> Routes:
    api = Routes("messages")
    for prefix in PREFIXES:
        _add(api, services, f"{prefix}/messages")
    return api


def _add(api: Routes, services: ApiServices, path: str) -> None:
    models = services.chat.models

    @api.add("POST", path)
    async def create_message(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            await _answer(services, exchange, principal, path, parse_messages(exchange.body))

        await answer_once(services, exchange, "llm", answer)

    @api.add("POST", f"{path}/count_tokens")
    async def count_tokens(exchange: Exchange) -> None:
        credentials.check(exchange, await services.access.check(credentials.api_key(exchange)), "llm")
        fields, body_bytes = parse_count(exchange.body)
        model = asked_model(models, fields.model)
        if models.catalog.resolve(model.id) is None and models.passthrough(model.id) is None:
            raise refuse(Refusal("model_not_found", fields.model))
        count = await count_prompt(prompt_request(fields, model, body_bytes))
        await exchange.reply_json(msgspec.json.encode({"input_tokens": count}))


def asked_model(models: Models, name: str) -> Asked:
    """What a client's model name means here; a name that means nothing is refused later, with the right words."""
    found = models.catalog.resolve(name)
    if found is not None:
        return Asked(found.model.id, frontier=found.model.frontier)
    outside = passthrough_id(name)
    return Asked(outside or name, frontier=outside is not None)


async def _answer(
    services: ApiServices, exchange: Exchange, principal: Principal, endpoint: str, asked: MessagesRequest
) -> None:
    model = asked_model(services.chat.models, asked.fields.model)
    chat = chat_request(asked, model)
    facts = begin_facts(exchange, endpoint, chat, ID_PREFIX)
    thinking = Thinking(shown=asked.thinks, signed=model.signs, signature=model.signature)

    def opening(served: Served) -> Opening:
        return Opening(
            id=served.id,
            model=asked.fields.model,
            prompt_tokens=served.prompt_tokens,
            request_id=exchange.request_id,
            thinking=thinking,
            stop_sequences=tuple(asked.fields.stop_sequences or ()),
        )

    if chat.stream:

        def make_writer(served: Served) -> MessagesWriter:
            return MessagesWriter(opening(served), error_then_stop=ERROR_THEN_STOP)

        sink = StreamSink(exchange, services.stream_rules, make_writer)
        await answer_streamed(services, principal, chat, sink, facts)
    else:
        whole = WholeSink(exchange, lambda served: MessageFold(opening(served)))
        await run_chat(services.chat, principal, chat, whole, facts)
