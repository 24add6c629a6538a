"""`/api/v1/users`: what members do with their team."""

from __future__ import annotations

from typing import Final

from app.api.exchange import Exchange
from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.accounts import User
from app.core.identity import Visitor
from app.core.team import Invitation, Invited, MemberChange, MemberQuery, NewMember, RoleChange, UserPage
from app.core.times import iso_time
from app.usecases import team as usecase

ALL: Final = "/api/v1/users"
ONE: Final = f"{ALL}/<user_id>"


def platform(services: ApiServices) -> Platform:
    api = Platform("team", services)
    team = services.team

    @api.add("GET", ALL)
    async def list_members(visitor: Visitor, query: MemberQuery) -> UserPage:
        """List the organisation's members, newest first."""
        return await team.page(visitor.tenant_id, query)

    @api.add("POST", ALL, least="admin", status=201, secret=True, errors=("permission_denied", "conflict"))
    async def invite_member(exchange: Exchange, visitor: Visitor, body: NewMember) -> Invited:
        """Invite a member. The invitation is shown once and good for seven days.

        Until it is accepted the member is not active. The plan limits how many members there are, invited ones counted.
        """
        return _shown(exchange, await team.invite(visitor, body))

    @api.add("POST", f"{ONE}/invitation", least="admin", status=201, secret=True, errors=("conflict",))
    async def renew_invitation(exchange: Exchange, visitor: Visitor, user_id: str) -> Invited:
        """Make a new invitation for a member who has not joined; the old one is void."""
        return _shown(exchange, await team.renew(visitor, user_id))

    @api.add("PUT", ONE, least="admin", errors=("conflict",))
    async def change_member(visitor: Visitor, user_id: str, body: MemberChange) -> User:
        """Change a member; what is left out stays as it is.

        A member who is switched off is logged out everywhere at once. Only the owner edits the owner.
        """
        return await team.change(visitor, user_id, body)

    @api.add("DELETE", ONE, least="admin", status=204, errors=("conflict",))
    async def remove_member(visitor: Visitor, user_id: str) -> None:
        """Remove a member: never the owner, never oneself."""
        await team.remove(visitor, user_id)

    @api.add("PATCH", f"{ONE}/role", least="owner", errors=("conflict",))
    async def change_role(visitor: Visitor, user_id: str, body: RoleChange) -> User:
        """Change a member's role. To make somebody the owner is to hand the organisation over: you become an admin."""
        return await team.set_role(visitor, user_id, body.role)

    return api


def _shown(exchange: Exchange, invited: usecase.Invited) -> Invited:
    """With a link to the dashboard, if there is one; POST /api/v1/auth/invitations/accept takes the token anyway."""
    dashboard = exchange.rules.dashboard_origin
    url = f"{dashboard}/invitations/{invited.token}" if dashboard else None
    return Invited(invited.user, Invitation(invited.token, url, iso_time(invited.expires_us)))
