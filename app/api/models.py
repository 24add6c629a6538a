"""The model list: `GET /v1/models`, one model, and which plan may call what."""

from __future__ import annotations

import msgspec

from app.api import credentials
from app.api.exchange import Exchange
from app.api.routes import Routes
from app.api.services import ApiServices
from app.usecases.models import refuse
from catalog.listing import model_entry, plans_access
from catalog.routing import Refusal


def routes(services: ApiServices) -> Routes:
    api = Routes("models")
    models = services.chat.models

    @api.add("GET", "/v1/models")
    async def list_models(exchange: Exchange) -> None:
        credentials.check(exchange, await services.access.check(credentials.api_key(exchange)))
        entries = [model_entry(model) for model in models.catalog.listed]
        await exchange.reply_json(msgspec.json.encode({"object": "list", "data": entries}))

    @api.add("GET", "/v1/models/<path:model_id>")
    async def one_model(exchange: Exchange, model_id: str) -> None:
        credentials.check(exchange, await services.access.check(credentials.api_key(exchange)))
        found = models.catalog.resolve(model_id)
        if found is None or found.model not in models.catalog.listed:
            raise refuse(Refusal("model_not_found", model_id))
        await exchange.reply_json(msgspec.json.encode(model_entry(found.model)))

    @api.add("GET", "/api/v1/models/access")
    async def access(exchange: Exchange) -> None:
        await exchange.reply_json(msgspec.json.encode(plans_access(models.catalog)))

    return api
