"""What a provider refuses after it has taken it: a voice note whose file nobody can have, a template that is off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from scripts.clustering.postgres import free_port
from scripts.simulator.whatsapp.faults import Order
from scripts.simulator.whatsapp.sayings import Saying
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, elsewhere, open_caller, until
from tests.e2e.whatsapp import META, PROMPT, SCOPES, TWILIO, Json, open_shop

VOICE_BOT: Json = {**PROMPT, "type": "whatsapp_voice"}


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    port = free_port()
    public_url = f"http://127.0.0.1:{port}/"
    async with open_caller(database_url, customer=SCOPES, port=port, public_url=public_url) as opened:
        yield opened


@ON_BOTH
@pytest.mark.parametrize(("new", "code"), [(TWILIO, 63019), (META, 131053)], ids=["twilio", "meta"])
async def test_a_voice_note_whose_file_nobody_can_have_is_written_instead(
    caller: Caller, new: dict[str, Any], code: int
) -> None:
    shop = await open_shop(caller.house, caller.house.url, new, bot=VOICE_BOT, debounce_media_seconds=0)
    shop.number.pace.twice = True
    shop.number.orders.waiting.append(Order("fail_later", code))
    shop.say(Saying(type="voice", ms=2000))
    (answer,) = await shop.hears()
    ((said,),) = caller.rows("SELECT content FROM messages WHERE role = 'assistant'")
    assert (answer["type"], answer["text"]) == ("text", said)

    async def is_read() -> bool:
        return caller.rows("SELECT status FROM messages WHERE role = 'assistant'") == [("read",)]

    await until(is_read)
    rows = caller.rows("SELECT kind, state, reason FROM sends ORDER BY kind")
    assert rows == [("media", "dropped", "superseded"), ("text", "read", "")]
    assert len(shop.got()) == 1


async def test_a_template_that_is_off_is_told_of_and_tried_again_once_it_is_set_again(caller: Caller) -> None:
    template = {"name": "come_back", "language": "en"}
    shop = await open_shop(caller.house, caller.house.url, META, fallback_template=template)
    path = f"/api/v1/bots/{shop.bot_id}"

    async def check() -> tuple[bool, str]:
        report = (await caller.http.post(f"{path}/deploy/verify")).json()
        return next((each["ok"], each["message"]) for each in report["checks"] if each["name"] == "template")

    assert (await check())[0]
    off = msgspec.json.encode({**template, "error": "132015: Template is paused"}).decode()
    elsewhere(caller.house, lambda db: db.do("UPDATE numbers SET template_off = ?", off))
    ok, message = await check()
    assert (ok, "132015: Template is paused" in message, "come_back" in message) == (False, True, True)
    assert (await caller.http.put(path, json={"name": "Asha"})).status_code == 200
    assert not (await check())[0]
    config = (await caller.http.get(path)).json()["config"]
    assert (await caller.http.put(path, json={"config": config})).status_code == 200
    assert (await check())[0]
