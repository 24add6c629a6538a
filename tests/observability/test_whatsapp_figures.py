"""A bot's answer on WhatsApp, by the real way of it, as its operator sees it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.whatsapp import SCOPES, open_shop
from tests.observability.house import open_watched

REPLIED = "callmissed_reply_seconds"
ACCEPTED = {"provider": "meta", "outcome": "accepted"}


async def test_an_answer_is_counted_at_every_step_of_its_way(tmp_path: Path) -> None:
    async with open_watched(tmp_path, customer=SCOPES) as watcher:
        house = watcher.caller.house
        shop = await open_shop(house, house.url)
        shop.say("do you have tea?")
        await shop.hears()
        page = await watcher.page_once(lambda page: page.value(f"{REPLIED}_count"))
        assert page.value("callmissed_turns_total", state="answered", reason="") == 1
        assert page.value("callmissed_turns_running") == 0
        assert page.value("callmissed_send_attempts_total", **ACCEPTED) == 1
        assert page.value("callmissed_turn_seconds_count", part="model") == 1
        waited_s, whole_s = (page.value("callmissed_turn_seconds_sum", part=part) for part in ("waited", "total"))
        assert 0 <= waited_s <= whole_s <= page.value(f"{REPLIED}_sum") < 10
        assert page.value("callmissed_webhook_duration_seconds_count", provider="meta", status="200") >= 1
        assert page.value("callmissed_calls_total", endpoint="whatsapp", model="kimi-k2.6", outcome="completed") == 1


async def test_a_webhook_that_nobody_signed_is_counted_by_its_status(tmp_path: Path) -> None:
    async with open_watched(tmp_path, customer=SCOPES) as watcher:
        house = watcher.caller.house
        shop = await open_shop(house, house.url)
        shop.say("hello", bad_signature=True)
        counted = {"provider": "meta", "status": "401"}
        page = await watcher.page_once(lambda page: page.value("callmissed_webhook_duration_seconds_count", **counted))
        assert page.value("callmissed_turns_total", state="answered", reason="") == 0
