"""`/api/v1/auth`: ways in and out, one's own account and sessions."""

from __future__ import annotations

from typing import Final

from app.api.exchange import Exchange, Headers
from app.api.platform import Platform
from app.api.services import ApiServices
from app.api.visitors import check_stranger, client_address, session_cookie, session_token
from app.core.accounts import Acceptance, Account, Login, ProfileChange, Registration, SessionList
from app.core.identity import Visitor
from app.usecases.accounts import Arrival, Welcome

AUTH: Final = "/api/v1/auth"
ME: Final = f"{AUTH}/me"
SESSIONS: Final = f"{AUTH}/sessions"
#: What every way in may answer besides.
WAY_IN: Final = ("csrf_failed", "rate_limit_exceeded", "too_many_concurrent_requests")


def platform(services: ApiServices) -> Platform:
    api = Platform("auth", services)
    accounts, profiles = services.accounts, services.profiles

    @api.add(
        "POST",
        f"{AUTH}/register",
        public=True,
        secret=True,
        status=201,
        errors=("permission_denied", "conflict", *WAY_IN),
    )
    async def register(exchange: Exchange, headers: Headers, body: Registration) -> Account:
        """Found an organisation and log in as its owner.

        It is on the free plan and gets the signup bonus once. Sets the cookie `cm_session`.
        """
        return _welcome(exchange, headers, await accounts.register(body, _arrival(exchange)))

    @api.add(
        "POST",
        f"{AUTH}/login",
        public=True,
        secret=True,
        errors=("session_required", "account_inactive", *WAY_IN),
    )
    async def login(exchange: Exchange, headers: Headers, body: Login) -> Account:
        """Log in. Sets the cookie `cm_session`, which lives for seven days after it was last used.

        Ten tries a minute from one address, five for one account.
        """
        return _welcome(exchange, headers, await accounts.login(body, _arrival(exchange)))

    @api.add(
        "POST",
        f"{AUTH}/invitations/accept",
        public=True,
        secret=True,
        errors=("account_inactive", "not_found", *WAY_IN),
    )
    async def accept_invitation(exchange: Exchange, headers: Headers, body: Acceptance) -> Account:
        """Join a team with an invitation, choose a password, and be logged in."""
        return _welcome(exchange, headers, await accounts.accept(body, _arrival(exchange)))

    @api.add("POST", f"{AUTH}/logout", public=True, status=204, errors=("csrf_failed",))
    async def logout(exchange: Exchange, headers: Headers) -> None:
        """Log out: end the session and delete its cookie. Without a session nothing happens."""
        check_stranger(exchange)
        await accounts.logout(session_token(exchange) or "")
        headers.append(session_cookie(exchange, ""))

    @api.add("GET", ME)
    async def show_account(exchange: Exchange, visitor: Visitor, headers: Headers) -> Account:
        """Show who is logged in, and their organisation. Renews the cookie."""
        account = await profiles.show(visitor)
        headers.append(session_cookie(exchange, session_token(exchange) or ""))
        return account

    @api.add("PATCH", ME, errors=("conflict", *WAY_IN))
    async def change_account(exchange: Exchange, visitor: Visitor, body: ProfileChange) -> Account:
        """Change one's own name, phone number or password; what is left out stays as it is.

        A new password needs `current_password`, and ends all other sessions.
        """
        return await profiles.change(visitor, body, client_address(exchange))

    @api.add("GET", SESSIONS)
    async def list_sessions(visitor: Visitor) -> SessionList:
        """List where one is logged in, newest first."""
        return await profiles.sessions(visitor)

    @api.add("DELETE", f"{SESSIONS}/<session_id>", status=204)
    async def close_session(visitor: Visitor, session_id: str) -> None:
        """Log out in one place."""
        await profiles.close_session(visitor, session_id)

    @api.add("DELETE", SESSIONS, status=204)
    async def close_other_sessions(visitor: Visitor) -> None:
        """Log out everywhere but here."""
        await profiles.close_others(visitor)

    return api


def _arrival(exchange: Exchange) -> Arrival:
    """Raises Problem 403 for a page of another origin."""
    check_stranger(exchange)
    client = exchange.header(b"user-agent") or ""
    return Arrival(client_address(exchange), client, session_token(exchange) or "")


def _welcome(exchange: Exchange, headers: Headers, welcome: Welcome) -> Account:
    exchange.note["tenant"] = welcome.account.tenant.id
    headers.append(session_cookie(exchange, welcome.token))
    return welcome.account
