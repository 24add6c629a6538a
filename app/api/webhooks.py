"""`/api/v1/webhooks`: where an organisation hears of its events, and what was sent there."""

from __future__ import annotations

from typing import Any, Final

from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.identity import Visitor
from app.core.webhooks import (
    Delivery,
    DeliveryDetail,
    DeliveryPage,
    DeliveryQuery,
    NewWebhook,
    Webhook,
    WebhookChange,
    WebhookList,
    WebhookSecret,
)

ALL: Final = "/api/v1/webhooks"
ONE: Final = f"{ALL}/<webhook_id>"
SENT: Final = f"{ONE}/deliveries"
#: The scope covers reads, too; an agent may not even read (spec.md section 16).
WHO: Final[dict[str, Any]] = {"scope": "webhooks:write", "least": "admin"}


def platform(services: ApiServices) -> Platform:
    api = Platform("webhooks", services)
    webhooks, log = services.webhooks, services.delivery_log

    @api.add("GET", ALL, **WHO)
    async def list_webhooks(visitor: Visitor) -> WebhookList:
        """List the organisation's webhooks, newest first."""
        return await webhooks.list(visitor.tenant_id)

    @api.add("POST", ALL, **WHO, status=201, errors=("conflict",), secret=True)
    async def create_webhook(visitor: Visitor, body: NewWebhook) -> WebhookSecret:
        """Create a webhook. Its secret is shown this once."""
        return await webhooks.create(visitor.tenant_id, body)

    @api.add("GET", ONE, **WHO)
    async def show_webhook(visitor: Visitor, webhook_id: str) -> Webhook:
        """Show one webhook."""
        return await webhooks.find(visitor.tenant_id, webhook_id)

    @api.add("PUT", ONE, **WHO)
    async def change_webhook(visitor: Visitor, webhook_id: str, body: WebhookChange) -> Webhook:
        """Change a webhook; what is left out stays as it is.

        What waits to be sent to a webhook that is switched off fails.
        """
        return await webhooks.change(visitor.tenant_id, webhook_id, body)

    @api.add("DELETE", ONE, **WHO, status=204)
    async def delete_webhook(visitor: Visitor, webhook_id: str) -> None:
        """Delete a webhook. What waits to be sent there is not sent."""
        await webhooks.delete(visitor.tenant_id, webhook_id)

    @api.add("POST", f"{ONE}/secret/rotate", **WHO, secret=True)
    async def rotate_secret(visitor: Visitor, webhook_id: str) -> WebhookSecret:
        """Replace a webhook's secret. The new one is shown this once; the old one signs beside it for a day."""
        return await webhooks.rotate(visitor.tenant_id, webhook_id)

    @api.add("POST", f"{ONE}/test", **WHO, status=202, errors=("conflict", "rate_limit_exceeded"))
    async def send_test(visitor: Visitor, webhook_id: str) -> Delivery:
        """Send the event `webhook.test`. Its delivery tells what came of it."""
        return await log.test(visitor.tenant_id, webhook_id)

    @api.add("GET", SENT, **WHO)
    async def list_deliveries(visitor: Visitor, webhook_id: str, query: DeliveryQuery) -> DeliveryPage:
        """List what was sent to a webhook in the last 30 days, newest first."""
        return await log.page(visitor.tenant_id, webhook_id, query)

    @api.add("GET", f"{SENT}/<delivery_id>", **WHO)
    async def show_delivery(visitor: Visitor, webhook_id: str, delivery_id: str) -> DeliveryDetail:
        """Show one delivery with its body and every attempt."""
        return await log.find(visitor.tenant_id, webhook_id, delivery_id)

    @api.add("POST", f"{SENT}/<delivery_id>/replay", **WHO, status=202, errors=("conflict", "rate_limit_exceeded"))
    async def replay_delivery(visitor: Visitor, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a delivery's body once more, as a delivery of its own."""
        return await log.replay(visitor.tenant_id, webhook_id, delivery_id)

    return api
