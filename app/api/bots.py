"""`/api/v1/bots`: what members and keys with the scope do with their organisation's bots."""

from __future__ import annotations

from typing import Final

from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.bots import Bot, BotChange, BotPage, BotQuery, NewBot
from app.core.deploying import DeployReport
from app.core.identity import Visitor

ALL: Final = "/api/v1/bots"
ONE: Final = f"{ALL}/<bot_id>"


def platform(services: ApiServices) -> Platform:
    api = Platform("bots", services)
    bots = services.bots

    @api.add("GET", ALL, scope="bots:read")
    async def list_bots(visitor: Visitor, query: BotQuery) -> BotPage:
        """List the organisation's bots, newest first."""
        return await bots.page(visitor.tenant_id, query)

    @api.add("POST", ALL, scope="bots:write", least="admin", status=201, errors=("conflict",))
    async def create_bot(visitor: Visitor, body: NewBot) -> Bot:
        """Create a bot.

        Values of `config` whose names are those of credentials are encrypted, and read back as `[REDACTED]`. A bot
        of WhatsApp answers at the number that `config.phone_number_id` names.
        """
        return await bots.create(visitor.tenant_id, body)

    @api.add("GET", ONE, scope="bots:read")
    async def show_bot(visitor: Visitor, bot_id: str) -> Bot:
        """Show one bot."""
        return await bots.find(visitor.tenant_id, bot_id)

    @api.add("PUT", ONE, scope="bots:write", least="admin")
    async def change_bot(visitor: Visitor, bot_id: str, body: BotChange) -> Bot:
        """Change a bot; what is left out stays as it is."""
        return await bots.change(visitor.tenant_id, bot_id, body)

    @api.add("POST", f"{ONE}/toggle", scope="bots:write", least="admin")
    async def toggle_bot(visitor: Visitor, bot_id: str) -> Bot:
        """Switch a bot on or off."""
        return await bots.toggle(visitor.tenant_id, bot_id)

    @api.add("POST", f"{ONE}/deploy/verify", scope="bots:write", least="admin")
    async def verify_bot_deployment(visitor: Visitor, bot_id: str) -> DeployReport:
        """Check whether a bot can answer its customers, and say what is missing. Nothing is charged."""
        return await services.office.readiness.check(visitor.tenant_id, bot_id)

    @api.add("DELETE", ONE, scope="bots:write", least="admin", status=204)
    async def delete_bot(visitor: Visitor, bot_id: str) -> None:
        """Delete a bot. Its conversations stay; its prompt and secrets are gone, and its numbers have no bot."""
        await bots.delete(visitor.tenant_id, bot_id)

    return api
