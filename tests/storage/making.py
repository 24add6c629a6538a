"""Tenants, keys and calls for the storage tests. Times are whole days from `DAY_0`, noon on 10 November 2026."""

from __future__ import annotations

from typing import Any

from app.core.identity import Principal, key_digest
from app.storage import keys, ledger, tenants
from app.storage.database import Transaction
from app.storage.images import StoredImage
from app.storage.keys import KeySettings
from app.storage.ledger import Closing, Ending, Opening
from tests.books import PLENTY

SECRET = b"a secret for tests"
DAY_0 = 1_794_312_000_000_000
DAY_US = 86_400_000_000


def make_tenant(db: Transaction, name: str = "Acme", credit: int = 1000, plan: str = "pro") -> str:
    tenant_id, _ = tenants.upsert_tenant(db, name, plan, None, DAY_0)
    if credit:
        ledger.credit(db, tenant_id, "grant", credit, "start", DAY_0)
    return tenant_id


def make_key(db: Transaction, tenant_id: str, name: str = "main", **settings: Any) -> str:
    """The key's text."""
    return keys.create_key(db, tenant_id, SECRET, KeySettings(name, **settings), DAY_0)[1]


def read_key(db: Transaction, key: str, at_us: int = DAY_0) -> Principal:
    return keys.find_principal(db, key_digest(SECRET, key), at_us)


def make_principal(db: Transaction, name: str = "Acme", credit: int = 1000) -> Principal:
    """A fresh tenant's fresh key."""
    return read_key(db, make_key(db, make_tenant(db, name, credit)))


def open_call(
    db: Transaction,
    principal: Principal,
    call_id: str = "call",
    hold: int = 100,
    life_us: int = DAY_US,
) -> None:
    opening = Opening(call_id, "req_1", "/v1/x", "llm", "kimi-k2.5", True, hold, DAY_0, DAY_0 + life_us)
    ledger.admit(db, principal.tenant_id, principal, PLENTY, opening)


def post(db: Transaction, principal: Principal, call_id: str = "call", cost: int = 60, at_us: int = DAY_0) -> Ending:
    closing = Closing("posted", "completed", cost, "provider_usage", "B5", '{"usage": {"prompt": 3}}', at_us)
    return ledger.end(db, principal.tenant_id, call_id, closing)


def make_image(image_id: str, at_us: int = DAY_0) -> StoredImage:
    """A row; nobody has drawn anything."""
    details = '{"size": "64x64", "prompt": "a \\u0000 lamp"}'
    return StoredImage(image_id, at_us, "img-call", "key", "lucid-origin", details, "image/png", 4, "00ff")
