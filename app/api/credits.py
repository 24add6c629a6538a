"""What is left and where it went: `GET /v1/credits`, the receipt at `GET /v1/generation`, `/api/v1/credits`."""

from __future__ import annotations

import msgspec

from app.api import credentials
from app.api.exchange import Exchange
from app.api.platform import Platform
from app.api.routes import Routes
from app.api.services import ApiServices
from app.core.credits import Balance, BudgetChange, BudgetState, PackList, TransactionPage, TransactionQuery
from app.core.errors import Problem
from app.core.identity import Visitor
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
        credentials.check(exchange, principal, *credentials.INFERENCE)
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


def platform(services: ApiServices) -> Platform:
    api = Platform("credits", services)
    accounts = services.credits

    @api.add("GET", "/api/v1/credits/balance", scope="usage:read")
    async def show_balance(visitor: Visitor) -> Balance:
        """Show what is left."""
        return await accounts.balance(visitor.tenant_id)

    @api.add("GET", "/api/v1/credits/packs", scope="usage:read")
    async def list_packs() -> PackList:
        """List what can be bought."""
        return accounts.packs()

    @api.add("GET", "/api/v1/credits/transactions", scope="usage:read", least="admin")
    async def list_transactions(visitor: Visitor, query: TransactionQuery) -> TransactionPage:
        """List movements of credits, newest first, with their sums by type.

        The sums are of all the days asked for, whatever page and type the list is of.
        """
        return await accounts.transactions(visitor.tenant_id, query)

    @api.add("GET", "/api/v1/credits/budget", scope="usage:read")
    async def show_budget(visitor: Visitor) -> BudgetState:
        """Show the organisation's budget and what this month has taken of it."""
        return await accounts.budget(visitor.tenant_id)

    @api.add("PUT", "/api/v1/credits/budget", least="admin")
    async def set_budget(visitor: Visitor, body: BudgetChange) -> BudgetState:
        """Set the organisation's monthly budget and its alerts; what is left out stays as it is.

        Webhooks are sent `budget.alert` at 80 %, `budget.exceeded` when it is spent or first refuses a call, and
        `credits.low` when the balance falls below `low_balance_credits`.
        """
        return await accounts.set_budget(visitor.tenant_id, body)

    return api
