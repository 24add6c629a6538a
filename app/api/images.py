"""`POST /v1/images/generations`: HTTP in, HTTP out; what happens between is `usecases.images`."""

from __future__ import annotations

from app.api import credentials
from app.api.exchange import Exchange
from app.api.routed import open_facts
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import served_headers
from app.core.identity import Principal
from app.core.images import parse_images, reply_body
from app.usecases.images import run_images

ENDPOINT = "/v1/images/generations"


def routes(services: ApiServices) -> Routes:
    api = Routes("images")

    @api.add("POST", ENDPOINT)
    async def create_images(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            credentials.check(exchange, principal, "image")
            request = parse_images(exchange.body)
            with open_facts(exchange, ENDPOINT, "generate_content", "img-") as facts:
                done = await run_images(services.routed, services.chat.providers, principal, request, facts)
            pictures, _ = done.answer
            body = reply_body(done.served.created, pictures)
            await exchange.reply_json(body, served_headers(done.served, exchange))

        await services.access.run(credentials.api_key(exchange), answer)

    return api
