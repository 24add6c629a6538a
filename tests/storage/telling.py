"""What the provider tells of messages, and who listens."""

from __future__ import annotations

from typing import Any

from app.core.identity import new_uuid
from app.core.sends import State
from app.storage import sends, webhooks
from app.storage.database import Transaction
from app.storage.sends import Told
from app.storage.webhooks import StoredWebhook
from tests.channels.sending import SECOND, Shop
from tests.storage.making import DAY_0


def listen(db: Transaction, tenant_id: str) -> None:
    hook = StoredWebhook(new_uuid(DAY_0), "https://hook.example/", "", "*", True, "sealed", "", 0, DAY_0, DAY_0)
    webhooks.insert_webhook(db, tenant_id, hook)


def tell(
    db: Transaction, shop: Shop, state: State, *, reference: str = "", provider_id: str = "wamid.1", **more: Any
) -> bool:
    at_us = DAY_0 + more.get("at_s", 1) * SECOND
    told = Told(provider_id, reference, state, more.get("code", ""), more.get("error", ""), at_us)
    return sends.apply_status(db, shop.tenant_id, more.get("number_id", shop.number_id), told, at_us)


def be(db: Transaction, shop: Shop, send_id: str, state: State, **values: object) -> None:
    shop.set(db, "sends", send_id, state=state, **values)
