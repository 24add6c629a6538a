"""`POST /v1/embeddings`: HTTP in, HTTP out; what happens between is `usecases.embeddings`."""

from __future__ import annotations

from app.api.exchange import Exchange
from app.api.idempotent import answer_once
from app.api.routed import JSON, WholeReply, open_facts
from app.api.routes import Routes
from app.api.services import ApiServices
from app.core.embeddings import parse_embeddings, reply_body
from app.core.identity import Principal
from app.usecases.embeddings import EmbeddingAnswer, run_embeddings
from app.usecases.sink import Served

ENDPOINT = "/v1/embeddings"


def routes(services: ApiServices) -> Routes:
    api = Routes("embeddings")

    @api.add("POST", ENDPOINT)
    async def create_embeddings(exchange: Exchange) -> None:
        def make(embedded: EmbeddingAnswer, served: Served) -> tuple[str, bytes]:
            return JSON, reply_body(served.model, embedded.vectors, embedded.prompt_tokens)

        async def answer(principal: Principal) -> None:
            request = parse_embeddings(exchange.body)
            reply = WholeReply(exchange, make)
            providers = services.chat.providers
            with open_facts(exchange, ENDPOINT, "embeddings", "emb-") as facts:
                done = await run_embeddings(services.routed, providers, principal, request, facts, reply.settling)
            await reply.send(done.served)

        await answer_once(services, exchange, "llm", answer)

    return api
