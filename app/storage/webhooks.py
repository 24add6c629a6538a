"""Webhooks: where an organisation wants to hear of its events. A deleted one is gone, its deliveries are not yet."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.storage.database import Row, Transaction


class StoredWebhook(NamedTuple):
    """One row; `events` is comma-separated, the secrets are sealed, `old_secret` is "" when there is none."""

    id: str
    url: str
    description: str
    events: str
    is_active: bool
    secret: str
    old_secret: str
    old_secret_until_us: int
    created_us: int
    updated_us: int


_COLUMNS: Final = (
    "id, url, description, events, is_active, secret, old_secret, old_secret_until, created_at, updated_at"
)


def insert_webhook(db: Transaction, tenant_id: str, webhook: StoredWebhook) -> None:
    db.do(
        f"INSERT INTO webhooks (tenant_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, *webhook[:4], int(webhook.is_active), *webhook[5:]),
    )


def count_webhooks(db: Transaction, tenant_id: str) -> int:
    row = db.one("SELECT COUNT(*) FROM webhooks WHERE tenant_id = ?", tenant_id)
    return int(row[0]) if row else 0


def find_webhook(db: Transaction, tenant_id: str, webhook_id: str) -> StoredWebhook | None:
    row = db.one(f"SELECT {_COLUMNS} FROM webhooks WHERE tenant_id = ? AND id = ?", tenant_id, webhook_id)
    return None if row is None else _webhook(row)


def list_webhooks(db: Transaction, tenant_id: str) -> list[StoredWebhook]:
    """All of them, newest first."""
    rows = db.all(f"SELECT {_COLUMNS} FROM webhooks WHERE tenant_id = ? ORDER BY created_at DESC, id DESC", tenant_id)
    return [_webhook(row) for row in rows]


def update_webhook(db: Transaction, tenant_id: str, webhook: StoredWebhook) -> None:
    """Write what may change of a webhook that is there."""
    db.do(
        "UPDATE webhooks SET url = ?, description = ?, events = ?, is_active = ?, secret = ?, old_secret = ?, "
        "old_secret_until = ?, updated_at = ? WHERE tenant_id = ? AND id = ?",
        *(webhook.url, webhook.description, webhook.events, int(webhook.is_active), webhook.secret),
        *(webhook.old_secret, webhook.old_secret_until_us, webhook.updated_us, tenant_id, webhook.id),
    )


def delete_webhook(db: Transaction, tenant_id: str, webhook_id: str) -> bool:
    """Forget it with its secrets; False when there is none."""
    return db.run("DELETE FROM webhooks WHERE tenant_id = ? AND id = ?", tenant_id, webhook_id) > 0


def _webhook(row: Row) -> StoredWebhook:
    webhook = StoredWebhook(*row)
    return webhook._replace(is_active=bool(webhook.is_active))
