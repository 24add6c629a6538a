"""`/api/v1/keys`: what owners and admins do with their organisation's API keys. No key may do any of it."""

from __future__ import annotations

from typing import Final

from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.errors import Problem
from app.core.identity import Visitor
from app.core.keys import Key, KeyChange, KeyPage, KeyQuery, KeyRateState, NewKey, SecretKey

ALL: Final = "/api/v1/keys"
ONE: Final = f"{ALL}/<key_id>"
SHOWN_ONCE: Final = (
    "A key is shown once, when it is made, and kept as a digest that does not tell it. Rotate it for another."
)


def platform(services: ApiServices) -> Platform:
    api = Platform("keys", services)
    keys = services.keys

    @api.add("GET", ALL, least="admin")
    async def list_keys(visitor: Visitor, query: KeyQuery) -> KeyPage:
        """List the organisation's keys, newest first."""
        return await keys.page(visitor.tenant_id, query)

    @api.add("POST", ALL, least="admin", status=201, errors=("conflict",), secret=True)
    async def create_key(visitor: Visitor, body: NewKey) -> SecretKey:
        """Create a key. Its text is in this reply and never shown again."""
        return await keys.create(visitor.tenant_id, body)

    @api.add("GET", ONE, least="admin")
    async def show_key(visitor: Visitor, key_id: str) -> Key:
        """Show one key, live or revoked."""
        return await keys.find(visitor.tenant_id, key_id)

    @api.add("PATCH", ONE, least="admin", errors=("conflict",))
    async def change_key(visitor: Visitor, key_id: str, body: KeyChange) -> Key:
        """Change a key; what is left out stays as it is.

        The change holds from the key's next call on, in every process.
        """
        return await keys.change(visitor.tenant_id, key_id, body)

    @api.add("DELETE", ONE, least="admin", status=204)
    async def revoke_key(visitor: Visitor, key_id: str) -> None:
        """Revoke a key for good.

        Its next call fails in every process; calls that are running end as they would. Its name is free again.
        """
        await keys.revoke(visitor.tenant_id, key_id)

    @api.add("POST", f"{ONE}/rotate", least="admin", errors=("conflict",), secret=True)
    async def rotate_key(visitor: Visitor, key_id: str) -> SecretKey:
        """Give a key another text, which is in this reply and never shown again. The old one stops at once."""
        return await keys.rotate(visitor.tenant_id, key_id)

    @api.add("GET", f"{ONE}/rate-state", least="admin")
    async def show_rate_state(visitor: Visitor, key_id: str) -> KeyRateState:
        """Show what is left of a key's requests this minute and of its budget this month."""
        return await keys.rate_state(visitor.tenant_id, key_id)

    @api.add("GET", f"{ONE}/reveal", least="admin", status=501, errors=("not_implemented",))
    async def reveal_key(visitor: Visitor, key_id: str) -> None:
        """Refused: a key is shown once."""
        raise Problem("not_implemented", SHOWN_ONCE)

    @api.add("POST", f"{ONE}/reveal", least="admin", status=501, errors=("not_implemented",))
    async def ask_to_reveal_key(visitor: Visitor, key_id: str) -> None:
        """Refused: a key is shown once."""
        raise Problem("not_implemented", SHOWN_ONCE)

    return api
