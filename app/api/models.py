"""The model list, in OpenAI's or Anthropic's shape, one model, and which plan may call what."""

from __future__ import annotations

import msgspec

from app.api import credentials
from app.api.exchange import Exchange
from app.api.messages import PREFIXES
from app.api.routes import Routes
from app.api.services import ApiServices
from app.core.errors import Problem
from app.usecases.models import refuse
from catalog.listing import messages_model_entry, messages_model_list, model_entry, plans_access
from catalog.models import CATEGORIES, Model
from catalog.routing import Refusal


def routes(services: ApiServices) -> Routes:
    api = Routes("models")
    models = services.chat.models

    async def list_models(exchange: Exchange) -> None:
        credentials.check(exchange, await services.access.check(credentials.api_key(exchange)))
        listed = models.catalog.listed
        if exchange.speaks_messages:
            shown = messages_model_list(listed)
        else:
            shown = {"object": "list", "data": [model_entry(model) for model in listed]}
        await exchange.reply_json(msgspec.json.encode(shown))

    async def one_model(exchange: Exchange, model_id: str) -> None:
        credentials.check(exchange, await services.access.check(credentials.api_key(exchange)))
        entry = messages_model_entry if exchange.speaks_messages else model_entry
        await exchange.reply_json(msgspec.json.encode(entry(listed_model(model_id))))

    def listed_model(model_id: str) -> Model:
        found = models.catalog.resolve(model_id)
        if found is None or found.model not in models.catalog.listed:
            raise refuse(Refusal("model_not_found", model_id))
        return found.model

    for prefix in PREFIXES:
        api.add("GET", f"{prefix}/models")(list_models)
        api.add("GET", f"{prefix}/models/<path:model_id>")(one_model)

    @api.add("GET", "/api/v1/models")
    async def list_for_everybody(exchange: Exchange) -> None:
        category, free = exchange.query("category"), exchange.query("free").lower()
        if category and category not in CATEGORIES:
            raise Problem("invalid_value", f"`category` is one of {', '.join(CATEGORIES)}.", "category")
        if free not in ("", "true", "false"):
            raise Problem("invalid_value", "`free` is true or false.", "free")
        entries = [model_entry(model) for model in models.catalog.listed if category in ("", model.category)]
        data = [entry for entry in entries if not free or entry["free"] == (free == "true")]
        await exchange.reply_json(msgspec.json.encode({"data": data}))

    @api.add("GET", "/api/v1/models/<path:model_id>")
    async def one_for_everybody(exchange: Exchange, model_id: str) -> None:
        await exchange.reply_json(msgspec.json.encode(model_entry(listed_model(model_id))))

    @api.add("GET", "/api/v1/models/access")
    async def access(exchange: Exchange) -> None:
        await exchange.reply_json(msgspec.json.encode(plans_access(models.catalog)))

    return api
