"""`POST /v1/embeddings`: HTTP in, HTTP out; what happens between is `usecases.embeddings`."""

from __future__ import annotations

from app.api import credentials
from app.api.exchange import Exchange
from app.api.routed import open_facts
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import served_headers
from app.core.embeddings import parse_embeddings, reply_body
from app.core.identity import Principal
from app.usecases.embeddings import run_embeddings

ENDPOINT = "/v1/embeddings"


def routes(services: ApiServices) -> Routes:
    api = Routes("embeddings")

    @api.add("POST", ENDPOINT)
    async def create_embeddings(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            credentials.check(exchange, principal, "llm")
            request = parse_embeddings(exchange.body)
            with open_facts(exchange, ENDPOINT, "embeddings", "emb-") as facts:
                embedded = await run_embeddings(services.routed, services.chat.providers, principal, request, facts)
            body = reply_body(embedded.served.model, embedded.vectors, embedded.prompt_tokens)
            await exchange.reply_json(body, served_headers(embedded.served, exchange))

        await services.access.run(credentials.api_key(exchange), answer)

    return api
