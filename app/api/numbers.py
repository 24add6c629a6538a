"""`/api/v1/whatsapp/numbers`: the numbers that an organisation has connected to its bots."""

from __future__ import annotations

from typing import Any, Final

from app.api.exchange import Exchange
from app.api.platform import Platform
from app.api.services import ApiServices, address_of
from app.core.identity import Visitor
from app.core.numbers_api import NewNumber, Number, NumberChange, NumberList

ALL: Final = "/api/v1/whatsapp/numbers"
ONE: Final = f"{ALL}/<number_id>"
READ: Final[dict[str, Any]] = {"scope": "settings:read", "or_scope": "whatsapp:read", "least": "admin"}
WRITE: Final[dict[str, Any]] = {"scope": "settings:write", "or_scope": "whatsapp:write", "least": "admin"}
EXAMPLE: Final = {
    "provider": "meta",
    "phone_number_id": "106540352242922",
    "access_token": "EAAG-your-system-user-token",
    "app_secret": "your-meta-app-secret",
    "verify_token": "a-word-of-your-own",
}


def platform(services: ApiServices) -> Platform:
    api = Platform("numbers", services)
    connections = services.office.connections

    @api.add("GET", ALL, **READ)
    async def list_numbers(visitor: Visitor, exchange: Exchange) -> NumberList:
        """List the organisation's numbers, oldest first. Secrets are masked."""
        return await connections.list(visitor.tenant_id, address_of(services, exchange))

    @api.add("POST", ALL, **WRITE, status=201, errors=("not_found", "conflict"), example=EXAMPLE)
    async def create_number(visitor: Visitor, body: NewNumber, exchange: Exchange) -> Number:
        """Connect a number. Enter `webhook_url` at the provider, then check it with `verify`.

        Secrets are encrypted and read back masked. Without `bot_id` the bot whose `config.phone_number_id` names the
        number answers there.
        """
        return await connections.create(visitor.tenant_id, body, address_of(services, exchange))

    @api.add("GET", ONE, **READ)
    async def show_number(visitor: Visitor, number_id: str, exchange: Exchange) -> Number:
        """Show one number. Secrets are masked."""
        return await connections.find(visitor.tenant_id, number_id, address_of(services, exchange))

    @api.add("PUT", ONE, **WRITE, errors=("conflict",))
    async def change_number(visitor: Visitor, number_id: str, body: NumberChange, exchange: Exchange) -> Number:
        """Change a number; what is left out, or sent back as it was shown, stays as it is.

        Webhooks that are signed with the app secret before are taken, too, until `old_app_secret` is set to "".
        """
        return await connections.change(visitor.tenant_id, number_id, body, address_of(services, exchange))

    @api.add("DELETE", ONE, **WRITE, status=204)
    async def delete_number(visitor: Visitor, number_id: str) -> None:
        """Disconnect a number. What waits to be sent from it is not sent; its conversations stay."""
        await connections.disconnect(visitor.tenant_id, number_id)

    @api.add("POST", f"{ONE}/verify", **WRITE, errors=("conflict", "provider_error"))
    async def verify_number(visitor: Visitor, number_id: str, exchange: Exchange) -> Number:
        """Ask the provider whether the secrets open the number: `state` is `connected` then, else `error`."""
        return await connections.verify(visitor.tenant_id, number_id, address_of(services, exchange))

    return api
