"""Who calls: key format and digest, ids that sort by time, and the `Principal` that every use-case is given."""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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

    def may(self, permission: str) -> bool:
        return "*" in self.permissions or permission in self.permissions

    def may_use(self, model_id: str) -> bool:
        return "*" in self.allowed_models or model_id in self.allowed_models
