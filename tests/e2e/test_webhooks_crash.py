"""kill -9 while a delivery is under way: it is not lost, another process sends it under the same id."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import httpx2

from app.core.identity import now_us
from app.core.webhooks import TEST_EVENT
from app.storage.database import Transaction
from tests.databases import ON_BOTH, elsewhere, open_view
from tests.e2e.calling import until
from tests.e2e.process import open_gateway_process
from tests.e2e.receiver import SILENCE, open_receiver
from tests.house import open_ground
from tests.providers.peer import OK

pytestmark = ON_BOTH


async def test_a_delivery_outlives_the_process_that_was_sending_it(database_url: str, tmp_path: Path) -> None:
    scope = {"scopes": "webhooks:write"}
    async with (
        open_ground(database_url, customer=scope, webhook_allow_private=True) as ground,
        open_receiver(SILENCE, OK) as receiver,
    ):
        start = partial(open_gateway_process, ground.settings, tmp_path / "gateway.log")
        headers = {"authorization": f"Bearer {ground.customer.key}"}
        async with start() as gateway:
            async with httpx2.AsyncClient(base_url=f"{gateway.url}/api/v1/webhooks", headers=headers) as http:
                body = {"url": receiver.url, "events": ["*"]}
                webhook = (await http.post("", json=body)).json()
                await http.post(f"/{webhook['id']}/test")
            await receiver.gets(1)
            await gateway.end(signal.SIGKILL)

        def lease_is_over(db: Transaction) -> None:
            assert db.one("SELECT state, attempts FROM deliveries") == ("pending", 0)
            row = db.one("SELECT due_at FROM deliveries")
            assert row is not None
            assert row[0] > now_us()
            db.run("UPDATE deliveries SET due_at = ?", now_us())

        elsewhere(database_url, lease_is_over)
        async with start():
            first, second = await receiver.gets(2)

            async def recorded() -> bool:
                with open_view(database_url) as db:
                    return db.one("SELECT state, attempts FROM deliveries") == ("delivered", 1)

            await until(recorded)
    assert (second.headers, second.body) == (first.headers, first.body)
    assert second.headers["x-callmissed-event"] == TEST_EVENT
    assert second.is_signed(webhook["secret"])
