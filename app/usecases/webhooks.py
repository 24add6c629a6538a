"""What an organisation does with its webhooks: make, read, change, delete them, and change their secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.core.errors import Problem
from app.core.identity import Clock, new_uuid, now_us
from app.core.public_hosts import read_target
from app.core.sealing import Sealer
from app.core.times import DAY_US, iso_or_none, iso_time
from app.core.webhooks import NewWebhook, Webhook, WebhookChange, WebhookList, WebhookSecret, new_secret
from app.storage import outbox, webhooks
from app.storage.database import Database, Transaction
from app.storage.webhooks import StoredWebhook

MOST_WEBHOOKS: Final = 20
#: How long a secret still signs beside the one that replaced it.
OLD_SECRET_US: Final = DAY_US
SWITCHED_OFF: Final = "the webhook was switched off"
DELETED: Final = "the webhook was deleted"


class Webhooks:
    """Webhooks of any tenant; each method names whose. With `private` their hosts need not be public."""

    def __init__(self, db: Database, sealer: Sealer, *, private: bool = False, clock: Clock = now_us) -> None:
        self._db = db
        self._sealer = sealer
        self._private = private
        self._clock = clock

    async def list(self, tenant_id: str) -> WebhookList:
        """All of them, newest first."""
        found = await self._db.read(tenant_id, lambda db: webhooks.list_webhooks(db, tenant_id))
        return WebhookList([Webhook(**_shown(tenant_id, webhook)) for webhook in found])

    async def create(self, tenant_id: str, new: NewWebhook) -> WebhookSecret:
        """Raises Problem 400 for a URL that is not public, 409 `conflict` when there are enough."""
        read_target(new.url, private=self._private)
        at, secret = self._clock(), new_secret()
        webhook_id = new_uuid(at)
        webhook = StoredWebhook(
            id=webhook_id,
            url=new.url,
            description=new.description,
            events=_joined(new.events),
            is_active=new.is_active,
            secret=self._seal(tenant_id, webhook_id, secret),
            old_secret="",
            old_secret_until_us=0,
            created_us=at,
            updated_us=at,
        )

        def create(db: Transaction) -> None:
            if webhooks.count_webhooks(db, tenant_id) >= MOST_WEBHOOKS:
                raise Problem("conflict", f"There are {MOST_WEBHOOKS} webhooks already. Delete one first.")
            webhooks.insert_webhook(db, tenant_id, webhook)

        await self._db.write(tenant_id, create)
        return _with_secret(tenant_id, webhook, secret)

    async def find(self, tenant_id: str, webhook_id: str) -> Webhook:
        """Raises Problem 404."""
        webhook = await self._db.read(tenant_id, lambda db: found_webhook(db, tenant_id, webhook_id))
        return Webhook(**_shown(tenant_id, webhook))

    async def change(self, tenant_id: str, webhook_id: str, change: WebhookChange) -> Webhook:
        """What waits for a webhook that is switched off fails. Raises Problem 404, or 400 for the URL."""
        if change.url is not None:
            read_target(change.url, private=self._private)
        names = ("url", "description", "is_active")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(change, name)) is not None}
        if change.events is not None:
            given["events"] = _joined(change.events)
        webhook = await self._update(tenant_id, webhook_id, lambda webhook: webhook._replace(**given))
        return Webhook(**_shown(tenant_id, webhook))

    async def rotate(self, tenant_id: str, webhook_id: str) -> WebhookSecret:
        """A new secret; the one before signs beside it for a day. Raises Problem 404."""
        secret = new_secret()
        sealed, until = self._seal(tenant_id, webhook_id, secret), self._clock() + OLD_SECRET_US

        def rotated(webhook: StoredWebhook) -> StoredWebhook:
            return webhook._replace(secret=sealed, old_secret=webhook.secret, old_secret_until_us=until)

        return _with_secret(tenant_id, await self._update(tenant_id, webhook_id, rotated), secret)

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """What waits for it fails. Raises Problem 404."""

        def delete(db: Transaction) -> bool:
            outbox.stop(db, tenant_id, webhook_id, DELETED)
            return webhooks.delete_webhook(db, tenant_id, webhook_id)

        if not await self._db.write(tenant_id, delete):
            raise missing("webhook")

    async def _update(
        self, tenant_id: str, webhook_id: str, changed: Callable[[StoredWebhook], StoredWebhook]
    ) -> StoredWebhook:
        at = self._clock()

        def update(db: Transaction) -> StoredWebhook:
            webhook = changed(found_webhook(db, tenant_id, webhook_id))._replace(updated_us=at)
            webhooks.update_webhook(db, tenant_id, webhook)
            if not webhook.is_active:
                outbox.stop(db, tenant_id, webhook_id, SWITCHED_OFF)
            return webhook

        return await self._db.write(tenant_id, update)

    def _seal(self, tenant_id: str, webhook_id: str, secret: str) -> str:
        return self._sealer.seal(secret.encode(), secret_context(tenant_id, webhook_id))


def secret_context(tenant_id: str, webhook_id: str) -> str:
    """What a webhook's secret is sealed for."""
    return f"webhook {webhook_id} of {tenant_id}"


def _joined(events: list[Any]) -> str:
    """As they are stored: each once, in the order given."""
    return ",".join(dict.fromkeys(events))


def found_webhook(db: Transaction, tenant_id: str, webhook_id: str) -> StoredWebhook:
    """Raises Problem 404."""
    webhook = webhooks.find_webhook(db, tenant_id, webhook_id)
    if webhook is None:
        raise missing("webhook")
    return webhook


def missing(what: str) -> Problem:
    """What a foreign id is answered with, too."""
    return Problem("not_found", f"There is no {what} with this id.")


def _shown(tenant_id: str, webhook: StoredWebhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "tenant_id": tenant_id,
        "url": webhook.url,
        "description": webhook.description,
        "events": webhook.events.split(","),
        "is_active": webhook.is_active,
        "created_at": iso_time(webhook.created_us),
        "updated_at": iso_time(webhook.updated_us),
    }


def _with_secret(tenant_id: str, webhook: StoredWebhook, secret: str) -> WebhookSecret:
    until = iso_or_none(webhook.old_secret_until_us or None)
    return WebhookSecret(**_shown(tenant_id, webhook), secret=secret, previous_secret_until=until)
