"""What was sent to webhooks, for their organisation to look through, and what it has sent itself: tests, replays."""

from __future__ import annotations

from typing import Any, Final

from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.times import Place, iso_or_none, iso_time, read_cursor, write_cursor
from app.core.webhooks import TEST_EVENT, Delivery, DeliveryAttempt, DeliveryDetail, DeliveryPage, DeliveryQuery
from app.storage import deliveries, outbox
from app.storage.database import Database, Transaction
from app.storage.deliveries import StoredDelivery
from app.usecases.webhooks import found_webhook, missing

#: What waits for one webhook before tests and replays, which anybody with the scope can ask for at will, are refused.
MOST_WAITING: Final = 20
WAIT_S: Final = 15.0


class DeliveryLog:
    """Deliveries of any tenant; each method names whose."""

    def __init__(self, db: Database, *, clock: Clock = now_us) -> None:
        self._db = db
        self._clock = clock

    async def test(self, tenant_id: str, webhook_id: str) -> Delivery:
        """Send it an event of no meaning. Raises Problem 404, 409 when it is switched off, 429 when much waits."""
        at = self._clock()
        body = outbox.event_body(TEST_EVENT, {"webhook_id": webhook_id}, at)

        def test(db: Transaction) -> StoredDelivery:
            _ready(db, tenant_id, webhook_id)
            delivery_id = outbox.put(db, tenant_id, webhook_id, TEST_EVENT, body, at)
            return _delivery(db, tenant_id, webhook_id, delivery_id)

        return Delivery(**_told(await self._db.write(tenant_id, test)))

    async def replay(self, tenant_id: str, webhook_id: str, delivery_id: str) -> Delivery:
        """Send the same body again, as a delivery of its own. Raises Problem as `test`."""
        at = self._clock()

        def replay(db: Transaction) -> StoredDelivery:
            old = _delivery(db, tenant_id, webhook_id, delivery_id)
            _ready(db, tenant_id, webhook_id)
            new_id = outbox.put(db, tenant_id, webhook_id, old.event, old.body, at, replay_of=delivery_id)
            return _delivery(db, tenant_id, webhook_id, new_id)

        return Delivery(**_told(await self._db.write(tenant_id, replay)))

    async def page(self, tenant_id: str, webhook_id: str, query: DeliveryQuery) -> DeliveryPage:
        """Newest first. Raises Problem 404."""
        after = read_cursor(query.before)

        def read(db: Transaction) -> list[StoredDelivery]:
            found_webhook(db, tenant_id, webhook_id)
            return deliveries.list_deliveries(db, tenant_id, webhook_id, after=after, limit=query.limit + 1)

        found = await self._db.read(tenant_id, read)
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].created_us, data[-1].id)) if len(found) > query.limit else None
        return DeliveryPage([Delivery(**_told(delivery)) for delivery in data], cursor)

    async def find(self, tenant_id: str, webhook_id: str, delivery_id: str) -> DeliveryDetail:
        """With its body and every attempt. Raises Problem 404."""

        def read(db: Transaction) -> DeliveryDetail:
            found_webhook(db, tenant_id, webhook_id)
            found = _delivery(db, tenant_id, webhook_id, delivery_id)
            attempts = [
                DeliveryAttempt(number, iso_time(each.at_us), each.ms, each.status, each.error or None, each.reply)
                for number, each in enumerate(deliveries.list_attempts(db, tenant_id, delivery_id), 1)
            ]
            return DeliveryDetail(**_told(found), body=found.body, attempt_log=attempts)

        return await self._db.read(tenant_id, read)


def _delivery(db: Transaction, tenant_id: str, webhook_id: str, delivery_id: str) -> StoredDelivery:
    delivery = deliveries.find_delivery(db, tenant_id, webhook_id, delivery_id)
    if delivery is None:
        raise missing("delivery")
    return delivery


def _ready(db: Transaction, tenant_id: str, webhook_id: str) -> None:
    """Whether it may be sent something on request. Raises Problem."""
    if not found_webhook(db, tenant_id, webhook_id).is_active:
        raise Problem("conflict", "This webhook is switched off. Set is_active to true first.")
    if deliveries.count_pending(db, tenant_id, webhook_id, MOST_WAITING) >= MOST_WAITING:
        message = "Too many deliveries wait for this webhook. Try again when some of them have ended."
        raise Problem("rate_limit_exceeded", message, retry_after_s=WAIT_S)


def _told(delivery: StoredDelivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "event": delivery.event,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": delivery.error or None,
        "replay_of": delivery.replay_of,
        "created_at": iso_time(delivery.created_us),
        "delivered_at": iso_or_none(delivery.delivered_us),
        "next_attempt_at": iso_time(delivery.due_us) if delivery.state == "pending" else None,
    }
