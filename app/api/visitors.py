"""Who asks the platform API: a member by the session cookie, or a key by its Bearer token (spec.md section 2)."""

from __future__ import annotations

from typing import Final

from app.api import credentials
from app.api.exchange import Exchange
from app.api.operation import Operation
from app.core import addresses
from app.core.errors import Problem
from app.core.identity import Visitor
from app.usecases.access import Access
from app.usecases.sessions import LIFE_US, Sessions

COOKIE: Final = "cm_session"
SAFE: Final = ("GET", "HEAD", "OPTIONS")
LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
NOBODY: Final = "Log in, or send an API key: `Authorization: Bearer cm_...`."
NO_SESSION: Final = "This needs a logged-in member: an API key cannot do it. Log in to the dashboard."


async def find_visitor(exchange: Exchange, operation: Operation, access: Access, sessions: Sessions) -> Visitor:
    """Who asks, if they may: credential, account, domain, origin, scope, role, in this order.

    Raises Problem 401 or 403. A key in the header wins over a cookie.
    """
    rules = operation.rules
    key = credentials.api_key(exchange)
    token = session_token(exchange)
    if key is not None or token is None:
        if key is None:
            raise Problem("session_required" if rules.entry == "session" else "invalid_api_key", NOBODY)
        principal = await access.check(key)
        credentials.check(exchange, principal)
        if rules.entry == "session":
            raise Problem("session_required", NO_SESSION)
        visitor = Visitor(principal.tenant_id, key=principal)
        if not any(visitor.has_scope(scope) for scope in (rules.scope, rules.or_scope) if scope):
            raise Problem("permission_denied", f"API key missing required scope: {rules.scope}")
        return visitor
    visitor = await sessions.check(token)
    exchange.note["tenant"] = visitor.tenant_id
    check_origin(exchange)
    if not visitor.has_role(rules.least):
        raise Problem("role_required", f"This needs the role {rules.least}. Ask the owner of your organisation.")
    return visitor


def check_origin(exchange: Exchange) -> None:
    """A page of another origin must not change anything with the cookie that a browser sends along.

    Raises Problem 403 `csrf_failed`. The dashboard's own origin is the setting, without one that of this host.
    """
    if exchange.scope["method"] in SAFE:
        return
    if exchange.header(b"origin") not in _own_origins(exchange):
        raise Problem("csrf_failed", "Requests with a session must come from the dashboard's own origin.")


def check_stranger(exchange: Exchange) -> None:
    """A page of another origin must not log its visitor in or out either: it might choose the account.

    What is no browser sends no origin, and may do without as long as it sends no session. Raises as `check_origin`.
    """
    if exchange.header(b"origin") is not None or session_token(exchange) is not None:
        check_origin(exchange)


def client_address(exchange: Exchange) -> str:
    """Where the request comes from; what proxies say of that counts as far as TRUSTED_PROXIES go."""
    peer = exchange.scope.get("client")
    lines = [value.decode("latin1") for name, value in exchange.scope["headers"] if name == b"x-forwarded-for"]
    return addresses.client_address(str(peer[0]) if peer else "", ",".join(lines).split(","), exchange.rules.proxies)


def session_token(exchange: Exchange) -> str | None:
    """The token in the session cookie, None without."""
    for part in (exchange.header(b"cookie") or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and value:
            return value
    return None


def session_cookie(exchange: Exchange, token: str) -> tuple[bytes, bytes]:
    """The header that sets the cookie; an empty token deletes it. Only on the machine itself it may go without TLS."""
    secure = "; Secure" if _wants_tls(exchange) else ""
    age = LIFE_US // 1_000_000 if token else 0
    return b"set-cookie", f"{COOKIE}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}".encode()


def _own_origins(exchange: Exchange) -> tuple[str, ...]:
    """Compared as texts: whatever else an origin may be is another one."""
    if exchange.rules.dashboard_origin:
        return (exchange.rules.dashboard_origin,)
    if exchange.scope["scheme"] == "https":
        return (f"https://{exchange.host}",)
    return f"https://{exchange.host}", f"http://{exchange.host}"  # TLS may end at a proxy


def _wants_tls(exchange: Exchange) -> bool:
    """A proxy may put its own name for this machine into the place of the host: then the dashboard's origin tells."""
    origins = _own_origins(exchange)
    return not _is_loopback(exchange.host) or all(origin.startswith("https:") for origin in origins)


def _is_loopback(host: str) -> bool:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host) in LOOPBACK
