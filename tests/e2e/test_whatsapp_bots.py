"""Bots of WhatsApp over the platform API: the number each answers at, what one lacks, what none can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, open_caller
from tests.e2e.whatsapp_office import NEW, NUMBERS, SCOPES, SECRET, TWILIO, connected, known_to_meta, refused

pytestmark = ON_BOTH


NO_CONFIGS: Final[list[tuple[Json, str]]] = [
    ({"temperature": 3}, "config.temperature"),
    ({"reply_mode": "shout"}, "config.reply_mode"),
    ({"tools": [{"name": "order", "url": "http://10.0.0.1/"}]}, "url"),
    ({"max_tokens": "many"}, "config.max_tokens"),
]


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": SCOPES}) as opened:
        yield opened


async def test_a_bot_answers_at_the_number_that_it_names_whichever_came_first(caller: Caller) -> None:
    config = {"phone_number_id": NEW["phone_number_id"]}
    body = {"type": "whatsapp", "name": "Asha", "system_prompt": "Be kind.", "config": config}
    first = (await caller.http.post("/api/v1/bots", json=body)).json()
    number = await connected(caller)
    assert number["bot_id"] == first["id"]
    second = (await caller.http.post("/api/v1/bots", json=body)).json()
    path = f"{NUMBERS}/{number['id']}"
    assert (await caller.http.get(path)).json()["bot_id"] == second["id"]
    await caller.http.put(f"/api/v1/bots/{second['id']}", json={"config": {}})
    assert (await caller.http.get(path)).json()["bot_id"] is None
    await caller.http.put(path, json={"bot_id": first["id"]})
    await caller.http.delete(f"/api/v1/bots/{first['id']}")
    assert (await caller.http.get(path)).json()["bot_id"] is None


async def test_a_bot_is_told_what_it_lacks(caller: Caller) -> None:
    bot_id = (await caller.http.post("/api/v1/bots", json={"type": "whatsapp", "name": "Asha"})).json()["id"]
    path = f"/api/v1/bots/{bot_id}/deploy/verify"
    report = (await caller.http.post(path)).json()
    assert report["ready"] is False
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["prompt", "number"]
    await caller.http.put(f"/api/v1/bots/{bot_id}", json={"system_prompt": "Be kind.", "config": {"model": "none"}})
    number = await connected(caller, bot_id=bot_id, app_secret="")
    await known_to_meta(caller)
    await caller.http.post(f"{NUMBERS}/{number['id']}/verify")
    report = (await caller.http.post(path)).json()
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["webhook", "model"]
    await caller.http.put(f"/api/v1/bots/{bot_id}", json={"config": {"max_tokens": 100}})
    await caller.http.put(f"{NUMBERS}/{number['id']}", json={"app_secret": SECRET})
    await caller.http.post(f"{NUMBERS}/{number['id']}/verify")
    assert (await caller.http.post(path)).json()["ready"] is True


@pytest.mark.parametrize("public_url", ["", "https://api.example.com/"])
async def test_a_bot_at_twilio_is_told_that_its_gateway_has_no_address(database_url: str, public_url: str) -> None:
    async with open_caller(database_url, customer={"scopes": SCOPES}, public_url=public_url) as caller:
        bot_id = (await caller.http.post("/api/v1/bots", json={"type": "whatsapp", "name": "Asha"})).json()["id"]
        await connected(caller, TWILIO, bot_id=bot_id)
        report = (await caller.http.post(f"/api/v1/bots/{bot_id}/deploy/verify")).json()
    (webhook,) = [check for check in report["checks"] if check["name"] == "webhook"]
    assert (webhook["ok"], "PUBLIC_URL" in webhook["message"]) == (bool(public_url), not public_url)


async def test_what_a_bot_of_whatsapp_cannot_do_is_refused_by_name(caller: Caller) -> None:
    for config, param in NO_CONFIGS:
        body = {"type": "whatsapp", "name": "Asha", "config": config}
        assert (await refused(caller, "POST", "/api/v1/bots", body))[2] == param, config
        assert (await caller.http.post("/api/v1/bots", json={**body, "type": "ivr"})).status_code == 201
