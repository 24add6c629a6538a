"""Numbers over the platform API: connected, checked, corrected, disconnected; their secrets are never shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx2
import pytest

from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller
from tests.e2e.whatsapp_office import (
    NEW,
    NUMBERS,
    SCOPES,
    SECRET,
    SEND,
    TOKEN,
    TWILIO,
    bot_of,
    connected,
    known_to_meta,
    refused,
    talk,
)
from tests.house import add_customer

pytestmark = ON_BOTH


NO_NUMBERS: Final[list[tuple[Json, str, str]]] = [
    ({"provider": "fax"}, "invalid_value", "provider"),
    ({"provider": "meta", "phone_number_id": "1"}, "missing_required_parameter", "access_token"),
    ({**NEW, "phone_number_id": "+15550001111"}, "invalid_value", "phone_number_id"),
    ({**NEW, "access_token": "two\nlines"}, "invalid_value", "access_token"),
    ({**NEW, "access_token": "EAAG••••••••acme"}, "invalid_value", "access_token"),
    ({**NEW, "auth_token": "of Twilio"}, "invalid_value", "auth_token"),
    ({**TWILIO, "phone_number": "4155238886"}, "invalid_value", "phone_number"),
    ({**TWILIO, "account_sid": "SK1"}, "invalid_value", "account_sid"),
    ({**NEW, "bot_id": "00000000-0000-7000-8000-000000000000"}, "not_found", "bot_id"),
    ({**NEW, "secret": "x"}, "invalid_value", "secret"),
]


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": SCOPES}) as opened:
        yield opened


async def test_secrets_of_a_number_are_masked_sealed_and_kept_when_they_come_back(caller: Caller) -> None:
    number = await connected(caller)
    assert number["access_token"] == "EAAG••••••••acme"
    assert number["app_secret"] == "the-••••••••acme"
    assert number["webhook_url"] == f"{caller.house.url}/api/v1/webhooks/whatsapp/{number['id']}"
    row = repr(caller.rows("SELECT * FROM numbers"))
    assert TOKEN not in row
    assert SECRET not in row
    sealed = caller.rows("SELECT secrets FROM numbers")
    kept = {name: number[name] for name in NEW if name != "provider"}
    back = (await caller.http.put(f"{NUMBERS}/{number['id']}", json=kept)).json()
    assert back == {**number, "updated_at": back["updated_at"]}
    assert caller.rows("SELECT secrets FROM numbers") == sealed


async def test_a_new_app_secret_leaves_the_old_one_in_force_until_it_is_dropped(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller))['id']}"
    rotated = (await caller.http.put(path, json={"app_secret": "another-secret-of-acme"})).json()
    assert rotated["app_secret"] == "anot••••••••acme"
    assert rotated["old_app_secret"] == "the-••••••••acme"
    dropped = (await caller.http.put(path, json={"old_app_secret": ""})).json()
    assert (dropped["app_secret"], dropped["old_app_secret"]) == (rotated["app_secret"], "")


async def test_a_number_that_cannot_be_is_refused_by_name(caller: Caller) -> None:
    for body, code, param in NO_NUMBERS:
        assert (await refused(caller, "POST", NUMBERS, body))[1:] == (code, param), body
    assert caller.rows("SELECT COUNT(*) FROM numbers") == [(0,)]


async def test_a_number_is_connected_once(caller: Caller) -> None:
    await connected(caller)
    assert await refused(caller, "POST", NUMBERS, NEW) == (409, "conflict", None)


async def test_a_check_asks_the_provider_and_says_what_it_said(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller))['id']}/verify"
    await known_to_meta(caller, "another token")
    wrong = (await caller.http.post(path)).json()
    assert (wrong["state"], wrong["verified_at"]) == ("error", None)
    assert wrong["error"].startswith("190")
    assert TOKEN not in wrong["error"]
    await known_to_meta(caller)
    right = (await caller.http.post(path)).json()
    assert (right["state"], right["error"], right["name"]) == ("connected", None, "Acme Shop")
    assert right["verified_at"] == right["checked_at"]


async def test_a_number_that_another_organisation_has_cannot_be_taken(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller))['id']}/verify"
    await known_to_meta(caller)
    bolt = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="*"))
    async with httpx2.AsyncClient(base_url=caller.house.url, headers={"authorization": f"Bearer {bolt.key}"}) as http:
        theirs = (await http.post(NUMBERS, json=NEW)).json()
        assert (await http.post(f"{NUMBERS}/{theirs['id']}/verify")).json()["state"] == "connected"
        assert await refused(caller, "POST", path) == (409, "conflict", None)
        assert (await http.delete(f"{NUMBERS}/{theirs['id']}")).status_code == 204
    assert (await caller.http.post(path)).json()["state"] == "connected"


async def test_a_number_with_a_past_is_emptied_and_comes_back_as_it_was(caller: Caller) -> None:
    number = await connected(caller, bot_id=bot_of(caller))
    conversation, _ = talk(caller, number)
    queued = await caller.http.post(f"{SEND}/messages", json={"conversation_id": conversation, "text": "Soon."})
    assert (await caller.http.delete(f"{NUMBERS}/{number['id']}")).status_code == 204
    assert caller.rows("SELECT secrets, verify_digest, bot_id, verified_at FROM numbers") == [("", "", None, None)]
    assert (await caller.http.get(f"{NUMBERS}/{number['id']}")).status_code == 404
    assert (await caller.http.get(NUMBERS)).json() == {"data": []}
    sent = (await caller.http.get(f"{SEND}/messages/{queued.json()['message_id']}")).json()
    assert sent["status"] in {"dropped", "failed"}
    again = await connected(caller)
    assert (again["id"], again["created_at"]) == (number["id"], number["created_at"])


async def test_a_number_that_nobody_wrote_to_is_deleted(caller: Caller) -> None:
    number = await connected(caller)
    assert (await caller.http.delete(f"{NUMBERS}/{number['id']}")).status_code == 204
    assert caller.rows("SELECT COUNT(*) FROM numbers") == [(0,)]


async def test_a_wrong_number_can_be_corrected_until_it_is_in_use(caller: Caller) -> None:
    path = f"{NUMBERS}/{(await connected(caller, phone_number_id='1'))['id']}"
    right = (await caller.http.put(path, json={"phone_number_id": NEW["phone_number_id"]})).json()
    assert right["phone_number_id"] == NEW["phone_number_id"]
    await known_to_meta(caller)
    await caller.http.post(f"{path}/verify")
    assert await refused(caller, "PUT", path, {"phone_number_id": "1"}) == (409, "conflict", None)


async def test_older_settings_are_the_first_number(caller: Caller) -> None:
    path = "/api/v1/settings/whatsapp"
    assert (await caller.http.post(f"{path}/verify")).json() == {"status": "not_configured", "error": None}
    assert (await refused(caller, "PUT", path, {"verify_token": "x"}))[1] == "missing_required_parameter"
    fields = {name: NEW[name] for name in ("phone_number_id", "access_token", "verify_token", "app_secret")}
    put = (await caller.http.put(path, json=fields)).json()
    assert put["access_token"] == "EAAG••••••••acme"
    assert (await caller.http.get(path)).json() == put
    assert (await caller.http.get(NUMBERS)).json()["data"][0]["phone_number_id"] == NEW["phone_number_id"]
    assert (await caller.http.post(f"{path}/verify")).json()["status"] == "error"
    await known_to_meta(caller)
    assert (await caller.http.post(f"{path}/verify")).json() == {"status": "connected", "error": None}
    twilio = {name: value for name, value in TWILIO.items() if name != "provider"}
    shown = (await caller.http.put("/api/v1/settings/twilio", json=twilio)).json()
    assert shown["webhook_url"].endswith("#rc=3&rp=all&ct=2000&rt=4000&tt=15000")
    assert (await caller.http.get("/api/v1/settings/twilio")).json() == shown
