"""`/api/v1/dead-letters`: what came in on an organisation's numbers, well signed, and could not be used, and what it
wrote and a provider refused.
"""

from __future__ import annotations

from typing import Final

from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.dead_letters import DeadLetterDetail, DeadLetterPage, DeadLetterQuery
from app.core.identity import Visitor

ALL: Final = "/api/v1/dead-letters"


def platform(services: ApiServices) -> Platform:
    api = Platform("dead-letters", services)
    letters = services.dead_letters

    @api.add("GET", ALL, scope="whatsapp:read", least="admin")
    async def list_dead_letters(visitor: Visitor, query: DeadLetterQuery) -> DeadLetterPage:
        """List what could not be used, or not be sent as it was written, in the last 90 days, newest first."""
        return await letters.page(visitor.tenant_id, query)

    @api.add("GET", f"{ALL}/<letter_id>", scope="whatsapp:read", least="admin")
    async def show_dead_letter(visitor: Visitor, letter_id: str) -> DeadLetterDetail:
        """Show one dead letter with all of it."""
        return await letters.find(visitor.tenant_id, letter_id)

    @api.add(
        "POST", f"{ALL}/<letter_id>/replay", scope="whatsapp:write", least="admin", status=202, errors=("conflict",)
    )
    async def replay_dead_letter(visitor: Visitor, letter_id: str) -> DeadLetterDetail:
        """Try a dead letter again.

        What was used meanwhile stays as it is, so that nothing is answered twice. One with a `message_id` was refused
        as it was written: it is not sent again (409).
        """
        return await letters.replay(visitor.tenant_id, letter_id)

    return api
