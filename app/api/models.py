"""The model list: `GET /v1/models`, one model, and which plan may call what."""

from __future__ import annotations

import msgspec
from quart import Blueprint, Response, request

from app.api import credentials
from app.api.exchange import SENT, current_exchange
from app.api.services import ApiServices
from app.usecases.models import refuse
from catalog.listing import model_entry, plans_access
from catalog.routing import Refusal


def blueprint(services: ApiServices) -> Blueprint:
    api = Blueprint("models", __name__)
    models = services.chat.models

    @api.get("/v1/models")
    async def list_models() -> Response:
        exchange = current_exchange(request)
        await services.access.check(credentials.api_key(exchange))
        entries = [model_entry(model) for model in models.catalog.listed]
        await exchange.reply_json(msgspec.json.encode({"object": "list", "data": entries}))
        return SENT

    @api.get("/v1/models/<path:model_id>")
    async def one_model(model_id: str) -> Response:
        exchange = current_exchange(request)
        await services.access.check(credentials.api_key(exchange))
        found = models.catalog.resolve(model_id)
        if found is None or found.model not in models.catalog.listed:
            raise refuse(Refusal("model_not_found", model_id))
        await exchange.reply_json(msgspec.json.encode(model_entry(found.model)))
        return SENT

    @api.get("/api/v1/models/access")
    async def access() -> Response:
        await current_exchange(request).reply_json(msgspec.json.encode(plans_access(models.catalog)))
        return SENT

    return api
