"""What is left and where it went: `GET /v1/credits` and the receipt at `GET /v1/generation`."""

from __future__ import annotations

import msgspec

from app.api import credentials
from app.api.exchange import Exchange
from app.api.routes import Routes
from app.api.services import ApiServices
from app.core.errors import Problem
from app.core.money import credits_from_ucr
from app.storage import calls, ledger
from app.usecases.receipts import receipt


def routes(services: ApiServices) -> Routes:
    api = Routes("credits")

    @api.add("GET", "/v1/credits")
    async def show_credits(exchange: Exchange) -> None:
        principal = await services.access.check(credentials.api_key(exchange))
        credentials.check(exchange, principal)
        balance, held = await services.db.read(principal.tenant_id, lambda db: ledger.balance(db, principal.tenant_id))
        amounts = {"balance": balance, "held": held, "available": balance - held}
        body = {name: credits_from_ucr(amount) for name, amount in amounts.items()}
        await exchange.reply_json(msgspec.json.encode(body))

    @api.add("GET", "/v1/generation")
    async def show_generation(exchange: Exchange) -> None:
        principal = await services.access.check(credentials.api_key(exchange))
        credentials.check(exchange, principal, "llm")
        call_id = exchange.query("id")
        if not call_id:
            raise Problem(
                "missing_required_parameter", "Send the completion's id: /v1/generation?id=chatcmpl-...", "id"
            )
        call = await services.db.read(principal.tenant_id, lambda db: calls.find_call(db, principal.tenant_id, call_id))
        if call is None:
            raise Problem("not_found", "There is no generation with this id.", "id")
        catalog = services.chat.models.catalog
        await exchange.reply_json(msgspec.json.encode({"data": receipt(call, catalog.rates.credits_per_usd)}))

    return api
