"""The credential of a request, and where it may be used from."""

from __future__ import annotations

from typing import Final

from app.api.exchange import Exchange
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.key_lists import PERMISSIONS

#: The service permissions, each of which lets a key make calls (spec.md section 2.2).
INFERENCE: Final = PERMISSIONS


def api_key(exchange: Exchange) -> str | None:
    """The Bearer token as sent; `access` judges it. Anthropic's surface takes `x-api-key` too; Bearer wins."""
    scheme, _, token = (exchange.header(b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return exchange.header(b"x-api-key") if exchange.speaks_messages else None


def check(exchange: Exchange, principal: Principal, *permissions: str) -> None:
    """Domain allowlist, then one of these service permissions if any is named (spec.md section 3, checks 4 and 5).

    Raises Problem 403.
    """
    exchange.note["tenant"] = principal.tenant_id
    if "*" not in principal.allowed_domains:
        origin = exchange.header(b"origin")
        if origin is not None and not _allowed(origin, principal.allowed_domains):
            raise Problem(
                "domain_not_allowed", "This key may not be used from this origin. Change its allowed domains."
            )
    if permissions and not any(map(principal.may, permissions)):
        raise Problem("permission_denied", f"API key missing required permission: {' or '.join(permissions)}")


def _allowed(origin: str, domains: frozenset[str]) -> bool:
    host = origin.partition("://")[2].rpartition(":")[0] or origin.partition("://")[2]
    return origin in domains or host in domains
