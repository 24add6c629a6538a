"""Who calls: key format and digest, ids that sort by time, and who a use-case is given: `Principal` or `Visitor`."""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from app.core.idempotency import Claim

KEY_LENGTH: Final = 40
KEY_PATTERN: Final = re.compile(rf"cm_[A-Za-z0-9]{{{KEY_LENGTH}}}")
HINT_LENGTH: Final = 8
ID_LENGTH: Final = 26
_KEY_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

Clock = Callable[[], int]


def now_us() -> int:
    """Wall clock in microseconds since 1970: what is stored and compared across processes."""
    return time.time_ns() // 1000


def new_key() -> str:
    """A fresh `cm_` key with 238 bits of randomness. Shown once, never stored."""
    return "cm_" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(KEY_LENGTH))


def is_key(text: str) -> bool:
    """Whether `text` has the shape of a key; anything else never reaches the database (pains.md section 3)."""
    return KEY_PATTERN.fullmatch(text) is not None


def key_digest(secret: bytes, key: str) -> str:
    """HMAC-SHA-256 of the key under the server's secret, hex. A digest is never accepted as a credential."""
    return hmac.digest(secret, key.encode(), "sha256").hex()


def new_id(prefix: str, at_us: int) -> str:
    """`prefix` and 26 characters: 48 bits of milliseconds, 80 bits of randomness, sorting by time."""
    bits = (at_us // 1000).to_bytes(6, "big") + os.urandom(10)
    return prefix + base64.b32hexencode(bits)[:ID_LENGTH].decode()


def new_uuid(at_us: int) -> str:
    """An id for what the platform API shows: a UUID of version 7 (RFC 9562), sorting by its millisecond."""
    value = (at_us // 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def new_token() -> str:
    """An opaque token with 256 bits of randomness, for a session or an invitation. Stored as its digest only."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated key and what it may do, as read from the database at `version`.

    The admission write compares `version` again, so a change or a revocation holds from the key's next call on.
    """

    tenant_id: str
    key_id: str
    plan: str
    version: int
    rpm: int | None = None
    budget_ucr: int | None = None
    permissions: frozenset[str] = frozenset({"*"})
    scopes: frozenset[str] = frozenset()
    allowed_models: frozenset[str] = frozenset({"*"})
    allowed_domains: frozenset[str] = frozenset({"*"})
    allowed_search_providers: frozenset[str] = frozenset({"*"})
    expires_us: int | None = None
    #: The idempotency key under which this request spends, if it named one.
    claim: Claim | None = None

    def may(self, permission: str) -> bool:
        return "*" in self.permissions or permission in self.permissions

    def may_use(self, model_id: str) -> bool:
        return "*" in self.allowed_models or model_id in self.allowed_models


Role = Literal["owner", "admin", "agent"]
#: Each may what those after it may.
ROLES: Final[tuple[Role, ...]] = ("owner", "admin", "agent")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who uses the platform API: a member with a session and a role, or a key with scopes (spec.md section 2.3).

    Of `user_id`, `session_id` and `role` a key has none; a session has no `key`.
    """

    tenant_id: str
    user_id: str = ""
    session_id: str = ""
    role: Role | None = None
    key: Principal | None = None

    def has_scope(self, scope: str) -> bool:
        """A session has every scope and is limited by its role instead."""
        return self.key is None or "*" in self.key.scopes or scope in self.key.scopes

    def has_role(self, least: Role) -> bool:
        """Whether the member is `least` or more; a key is limited by its scopes instead."""
        return self.role is None or ROLES.index(self.role) <= ROLES.index(least)
