"""Webhooks of Meta and Twilio at the real server: acknowledged once they are kept, refused unsigned, never in doubt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from app.core.sealing import Sealer
from app.storage.numbers import StoredNumber
from channels.inbound.keeping import NOBODY
from scripts import dead_letters as command
from tests.channels import mailroom
from tests.channels.mailroom import (
    APP_SECRET,
    FORM,
    PUBLIC_URL,
    SECRETS,
    add_number,
    envelope,
    meta_text,
    signature,
    signed_form,
)
from tests.databases import write_locked
from tests.e2e.calling import Caller, elsewhere, open_caller, until
from tests.e2e.members import add_member, session_headers
from tests.house import SECRET, add_customer

META = "/api/v1/webhooks/whatsapp"
TWILIO = "/api/v1/webhooks/twilio/whatsapp"
SETTINGS: dict[str, Any] = {
    "meta_app_secrets": f"another's, {APP_SECRET}",
    "meta_verify_token": "shared token",
    "public_url": PUBLIC_URL,
}
ONE = envelope(("1065", {"messages": [meta_text("wamid.A", "नमस्ते")]}))


@pytest.fixture
async def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Caller]:
    monkeypatch.setattr(mailroom, "SEALER", Sealer(SECRET))
    async with open_caller(tmp_path, **SETTINGS) as opened:
        opened.http.headers.pop("authorization")
        yield opened


def connect(caller: Caller, tenant_id: str = "", **changes: Any) -> StoredNumber:
    tenant = tenant_id or caller.house.customer.tenant_id
    return elsewhere(caller.house, lambda db: add_number(db, tenant, **changes))


def kept(caller: Caller) -> list[tuple[Any, ...]]:
    return caller.rows("SELECT number_id, event_key FROM inbox ORDER BY seq")


async def bring(caller: Caller, path: str, body: bytes, secret: str) -> tuple[int, str]:
    reply = await caller.http.post(path, content=body, headers={"x-hub-signature-256": signature(secret, body)})
    return reply.status_code, reply.text


async def test_a_message_is_kept_answered_200_and_sorted(caller: Caller) -> None:
    number = connect(caller)
    assert await bring(caller, META, ONE, APP_SECRET) == (200, "")
    assert await bring(caller, f"{META}/{number.id}", ONE, SECRETS.app_secret) == (200, "")
    assert kept(caller) == [(number.id, "wamid.A")]

    async def is_sorted() -> bool:
        return caller.rows("SELECT content FROM messages") == [("नमस्ते",)]

    await until(is_sorted)


async def test_a_bad_signature_is_refused_and_nothing_is_stored(caller: Caller) -> None:
    number = connect(caller)
    ways = [(META, "wrong"), (f"{META}/{number.id}", APP_SECRET), (f"{META}/{number.id}", "")]
    assert [await bring(caller, path, ONE, secret) for path, secret in ways] == [(401, "")] * 3
    unsigned = await caller.http.post(META, content=ONE)
    assert unsigned.status_code == 401
    assert kept(caller) == caller.rows("SELECT id FROM dead_letters") == []


async def test_what_is_larger_than_three_megabytes_is_refused_on_every_way_in(caller: Caller) -> None:
    number = connect(caller)
    body = b" " * (3 * 1024 * 1024 + 1)
    for path in (META, f"{META}/{number.id}", TWILIO, f"{TWILIO}/{number.id}"):
        assert (await bring(caller, path, body, APP_SECRET))[0] == 413
    assert (await bring(caller, META, body[:-1], APP_SECRET))[0] == 200


async def test_what_is_well_signed_and_unreadable_is_taken_and_shown_to_its_owner(caller: Caller) -> None:
    number = connect(caller)
    assert await bring(caller, f"{META}/{number.id}", b"{", SECRETS.app_secret) == (200, "")
    owner = session_headers(caller.house, add_member(caller.house))
    (letter,) = (await caller.http.get("/api/v1/dead-letters", headers=owner)).json()["data"]
    assert (letter["number_id"], letter["provider"], letter["excerpt"]) == (number.id, "meta", "{")
    one = await caller.http.get(f"/api/v1/dead-letters/{letter['id']}", headers=owner)
    assert one.json() == {**letter, "body": "{"}
    replayed = await caller.http.post(f"/api/v1/dead-letters/{letter['id']}/replay", headers=owner)
    assert (replayed.status_code, replayed.json()["error"]["code"]) == (409, "conflict")
    agent = session_headers(caller.house, add_member(caller.house, "agent"))
    assert (await caller.http.get("/api/v1/dead-letters", headers=agent)).status_code == 403


async def test_a_database_that_is_away_is_503_and_the_provider_tries_again(tmp_path: Path) -> None:
    async with open_caller(tmp_path, **SETTINGS, database_deadline_s=0.3) as caller:
        connect(caller)
        with write_locked(caller.house.settings.database_url, caller.house.customer.tenant_id):
            status, _ = await bring(caller, META, ONE, APP_SECRET)
        assert status == 503
        assert await bring(caller, META, ONE, APP_SECRET) == (200, "")
        assert len(kept(caller)) == 1


async def test_a_subscription_is_confirmed_with_the_challenge_and_nothing_else(caller: Caller) -> None:
    number = connect(caller)
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444"}
    for path, token, expected in [
        (META, "shared token", (200, "1158201444")),
        (META, "let me in", (200, "1158201444")),
        (META, "guess", (403, "")),
        (f"{META}/{number.id}", "let me in", (200, "1158201444")),
        (f"{META}/{number.id}", "shared token", (403, "")),
    ]:
        reply = await caller.http.get(path, params={**query, "hub.verify_token": token})
        assert (reply.status_code, reply.text) == expected
        assert reply.status_code == 403 or reply.headers["content-type"] == "text/plain"
    assert (await caller.http.get(f"{META}/nobody", params=query)).status_code == 404
    assert (await caller.http.get(META)).status_code == 403


async def test_twilios_message_is_acknowledged_in_xml_and_its_bad_signature_is_403(caller: Caller) -> None:
    number = connect(caller, provider="twilio", account=FORM["To"].removeprefix("whatsapp:"))
    form = {"content-type": "application/x-www-form-urlencoded"}
    for path in (TWILIO, f"{TWILIO}/{number.id}?x=%20y"):
        body, header = signed_form(FORM, path)
        reply = await caller.http.post(path, content=body, headers={**form, "x-twilio-signature": header})
        assert (reply.status_code, reply.text, reply.headers["content-type"]) == (200, "<Response/>", "text/xml")
        bad = await caller.http.post(path, content=body + b"&a=b", headers={**form, "x-twilio-signature": header})
        assert (bad.status_code, bad.text) == (403, "")
    status = f"/api/v1/webhooks/twilio/whatsapp-status/{number.id}/send-1"
    told = {"MessageSid": "SM2", "MessageStatus": "sent", "From": FORM["To"], "To": FORM["From"]}
    body, header = signed_form(told, status)
    reply = await caller.http.post(status, content=body, headers={**form, "x-twilio-signature": header})
    assert (reply.status_code, reply.text) == (200, "<Response/>")
    assert kept(caller) == [(number.id, "SM1"), (number.id, "SM2:sent")]


async def test_without_secrets_the_urls_are_not_there_and_webhooks_of_tenants_are(tmp_path: Path) -> None:
    async with open_caller(tmp_path) as caller:
        caller.http.headers.pop("authorization")
        for path in (META, f"{META}/nobody", TWILIO, f"{TWILIO}/nobody"):
            assert (await bring(caller, path, ONE, ""))[0] == 404
        owner = session_headers(caller.house, add_member(caller.house))
        made = await caller.http.post(
            "/api/v1/webhooks", json={"url": "https://example.com/hook", "events": ["*"]}, headers=owner
        )
        path = f"/api/v1/webhooks/{made.json()['id']}"
        assert (await caller.http.put(path, json={"is_active": False}, headers=owner)).status_code == 200
        assert (await caller.http.put(META, json={"is_active": False}, headers=owner)).status_code == 404
        assert (await caller.http.delete(path, headers=owner)).status_code == 204


async def test_another_organisations_letters_are_not_there(caller: Caller) -> None:
    number = connect(caller)
    await bring(caller, f"{META}/{number.id}", b"{", SECRETS.app_secret)
    ((letter_id,),) = caller.rows("SELECT id FROM dead_letters")
    other = elsewhere(caller.house, partial(add_customer, name="Other", scopes="*"))
    headers = {"authorization": f"Bearer {other.key}"}
    unknown = await caller.http.get("/api/v1/dead-letters/nobody", headers=headers)
    foreign = await caller.http.get(f"/api/v1/dead-letters/{letter_id}", headers=headers)
    assert (foreign.status_code, foreign.content) == (404, unknown.content)
    replayed = await caller.http.post(f"/api/v1/dead-letters/{letter_id}/replay", headers=headers)
    assert replayed.status_code == 404
    assert (await caller.http.get("/api/v1/dead-letters", headers=headers)).json()["data"] == []


async def test_the_operator_replays_what_came_for_a_number_before_it_was_connected(
    caller: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await bring(caller, META, ONE, APP_SECRET) == (200, "")
    ((tenant_id, letter_id),) = caller.rows("SELECT tenant_id, id FROM dead_letters")
    assert tenant_id == NOBODY
    connect(caller)
    url = ["--database", caller.house.settings.database_url]
    assert await _run(["list", *url]) == 0
    assert f"{letter_id}  " in capsys.readouterr().out
    assert await _run(["replay", letter_id, *url]) == 0
    assert await _run(["show", letter_id, *url]) == 0
    assert await _run(["replay", "nobody", *url]) == 1
    assert await _run(["list", "--tenant", "Nobody", *url]) == 1
    assert "replayed 20" in capsys.readouterr().out

    async def is_sorted() -> bool:
        return caller.rows("SELECT content FROM messages") == [("नमस्ते",)]

    await until(is_sorted)


async def _run(arguments: list[str]) -> int:
    """The command in a thread, since it runs a loop of its own."""
    return await trio.to_thread.run_sync(command.main, arguments)
