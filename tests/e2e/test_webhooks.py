"""Webhooks over HTTP: made, read, changed, deleted by whom they may be, and heard by a receiver that checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import pytest
import trio

from app.core.identity import new_uuid
from app.usecases.webhooks import MOST_WEBHOOKS
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, elsewhere, open_caller, until
from tests.e2e.members import add_member, session_headers
from tests.e2e.receiver import ERROR, REDIRECT, SILENCE, Receiver, open_receiver
from tests.house import add_customer

pytestmark = ON_BOTH
HOOKS: Final = "/api/v1/webhooks"
URL: Final = "https://receiver.example/hook"
NEW: Final[Json] = {"url": URL, "events": ["credits.low", "budget.alert"], "description": "the books"}
SCOPE: Final[Json] = {"scopes": "webhooks:write"}


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer=SCOPE, webhook_allow_private=True) as opened:
        yield opened


async def made(caller: Caller, **fields: Any) -> Json:
    reply = await caller.http.post(HOOKS, json={**NEW, **fields})
    assert reply.status_code == 201, reply.text
    webhook: Json = reply.json()
    return webhook


async def ended(caller: Caller, delivery: Json, within_s: float = 5.0) -> Json:
    """The delivery once it is over."""
    path = f"{HOOKS}/{delivery['webhook_id']}/deliveries/{delivery['id']}"

    async def over() -> bool:
        return bool((await caller.http.get(path)).json()["state"] != "pending")

    await until(over, within_s)
    detail: Json = (await caller.http.get(path)).json()
    return detail


async def sent(caller: Caller, receiver: Receiver) -> tuple[Json, Json]:
    """A webhook that leads to the receiver, and a delivery to it that was asked for."""
    webhook = await made(caller, url=receiver.url)
    reply = await caller.http.post(f"{HOOKS}/{webhook['id']}/test")
    assert reply.status_code == 202, reply.text
    return webhook, reply.json()


async def test_a_webhook_that_is_made_is_read_back_without_its_secret(caller: Caller) -> None:
    webhook = await made(caller)
    secret = webhook.pop("secret")
    assert webhook.pop("previous_secret_until") is None
    assert secret.startswith("whsec_")
    expected = {**NEW, "tenant_id": caller.house.customer.tenant_id, "is_active": True}
    assert {name: webhook[name] for name in expected} == expected
    assert (await caller.http.get(f"{HOOKS}/{webhook['id']}")).json() == webhook
    assert (await caller.http.get(HOOKS)).json() == {"data": [webhook]}
    assert secret not in repr(caller.rows("SELECT * FROM webhooks"))


async def test_what_a_change_leaves_out_stays(caller: Caller) -> None:
    webhook = await made(caller)
    path = f"{HOOKS}/{webhook['id']}"
    changed = (await caller.http.put(path, json={"events": ["*"], "is_active": False})).json()
    del webhook["secret"], webhook["previous_secret_until"]
    assert changed == {**webhook, "events": ["*"], "is_active": False, "updated_at": changed["updated_at"]}
    assert (await caller.http.get(path)).json() == changed


async def test_events_named_twice_are_kept_once(caller: Caller) -> None:
    assert (await made(caller, events=["credits.low", "*", "credits.low"]))["events"] == ["credits.low", "*"]


async def test_a_deleted_webhook_is_gone_everywhere(caller: Caller) -> None:
    path = f"{HOOKS}/{(await made(caller))['id']}"
    reply = await caller.http.delete(path)
    assert (reply.status_code, reply.content) == (204, b"")
    assert (await caller.http.get(HOOKS)).json() == {"data": []}
    for method, url in routes(path, new_uuid(0)):
        assert (await caller.http.request(method, url, json={})).status_code == 404, url


def routes(path: str, delivery_id: str) -> list[tuple[str, str]]:
    """Every way to ask for one webhook."""
    one = f"{path}/deliveries/{delivery_id}"
    return [
        *(("GET", path), ("PUT", path), ("POST", f"{path}/test"), ("POST", f"{path}/secret/rotate")),
        *(("GET", f"{path}/deliveries"), ("GET", one), ("POST", f"{one}/replay"), ("DELETE", path)),
    ]


async def test_a_foreign_webhook_answers_byte_for_byte_like_a_missing_one(caller: Caller) -> None:
    async with open_receiver() as receiver:
        webhook, delivery = await sent(caller, receiver)
        await ended(caller, delivery)
        bolt = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", **SCOPE))
        headers = {"authorization": f"Bearer {bolt.key}"}
        theirs = routes(f"{HOOKS}/{webhook['id']}", delivery["id"])
        nobodys = routes(f"{HOOKS}/{new_uuid(0)}", new_uuid(0))
        for (method, foreign), (_, missing) in zip(theirs, nobodys, strict=True):
            answers = [await caller.http.request(method, url, json={}, headers=headers) for url in (foreign, missing)]
            assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
        assert (await caller.http.get(HOOKS, headers=headers)).json() == {"data": []}
        assert len(receiver.received) == 1


async def test_a_key_needs_the_scope_and_a_member_the_role(caller: Caller) -> None:
    webhook = await made(caller)
    plain = elsewhere(caller.house, lambda db: add_customer(db, "Bolt", scopes="bots:write")).key
    owner, admin, agent = (add_member(caller.house, role) for role in ("owner", "admin", "agent"))
    async with httpx2.AsyncClient(base_url=caller.house.url) as http:
        for method, url in [("GET", HOOKS), ("POST", HOOKS), *routes(f"{HOOKS}/{webhook['id']}", new_uuid(0))]:
            for headers, code in (
                ({"authorization": f"Bearer {plain}"}, "permission_denied"),
                (session_headers(caller.house, agent), "role_required"),
            ):
                reply = await http.request(method, url, json={}, headers=headers)
                assert (reply.status_code, reply.json()["error"]["code"]) == (403, code), url
        for member in (owner, admin):
            headers = session_headers(caller.house, member)
            assert (await http.post(HOOKS, json=NEW, headers=headers)).status_code == 201
            del headers["origin"]
            assert (await http.post(HOOKS, json=NEW, headers=headers)).json()["error"]["code"] == "csrf_failed"


REFUSED: Final[list[tuple[Json, str, str]]] = [
    ({"url": 7}, "invalid_type", "url"),
    ({"url": ""}, "invalid_value", "url"),
    ({"url": "ftp://receiver.example"}, "invalid_value", "url"),
    ({"url": "https://me:secret@receiver.example"}, "invalid_value", "url"),
    ({"url": f"https://receiver.example/{'x' * 2048}"}, "invalid_value", "url"),
    ({"events": []}, "invalid_value", "events"),
    ({"events": "credits.low"}, "invalid_type", "events"),
    ({"events": ["credits.low", "credits.high"]}, "invalid_value", "events[1]"),
    ({"events": ["*"] * 33}, "invalid_value", "events"),
    ({"description": "x" * 256}, "invalid_value", "description"),
    ({"is_active": "yes"}, "invalid_type", "is_active"),
]


async def test_what_a_webhook_cannot_be_is_refused_by_name(caller: Caller) -> None:
    webhook = await made(caller)
    for fields, code, param in REFUSED:
        for method, url in (("POST", HOOKS), ("PUT", f"{HOOKS}/{webhook['id']}")):
            reply = await caller.http.request(method, url, json={**NEW, **fields})
            error = reply.json()["error"]
            assert (reply.status_code, error["code"], error["param"]) == (400, code, param), fields
    assert caller.rows("SELECT COUNT(*) FROM webhooks") == [(1,)]


async def test_a_missing_field_is_named(caller: Caller) -> None:
    for fields, param in (({"url": URL}, "events"), ({"events": ["*"]}, "url")):
        error = (await caller.http.post(HOOKS, json=fields)).json()["error"]
        assert (error["code"], error["param"]) == ("missing_required_parameter", param)


async def test_there_are_never_more_than_so_many(caller: Caller) -> None:
    statuses: list[int] = []

    async def create() -> None:
        statuses.append((await caller.http.post(HOOKS, json=NEW)).status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(MOST_WEBHOOKS + 5):
            nursery.start_soon(create)
    assert sorted(statuses) == [201] * MOST_WEBHOOKS + [409] * 5
    assert caller.rows("SELECT COUNT(*) FROM webhooks") == [(MOST_WEBHOOKS,)]


async def test_a_test_reaches_the_receiver_signed_and_is_accounted_for(caller: Caller) -> None:
    async with open_receiver() as receiver:
        webhook, delivery = await sent(caller, receiver)
        detail = await ended(caller, delivery)
        (received,) = receiver.received
    assert received.path == "/hook?of=acme"
    assert received.is_signed(webhook["secret"])
    assert received.delivery_id == delivery["id"]
    assert received.headers["x-callmissed-event"] == "webhook.test"
    assert received.event["data"] == {"webhook_id": webhook["id"]}
    assert detail["body"].encode() == received.body
    expected = {"state": "delivered", "attempts": 1, "status": 200, "error": None, "next_attempt_at": None}
    assert {name: detail[name] for name in expected} == expected
    (attempt,) = detail["attempt_log"]
    assert {**attempt, "at": "", "ms": 0} == {
        **{"number": 1, "at": "", "ms": 0},
        **{"status": 200, "error": None, "reply": "ok"},
    }


async def test_a_failed_attempt_is_made_again_after_two_seconds_with_the_same_bytes(caller: Caller) -> None:
    async with open_receiver(REDIRECT, b"HTTP/1.1 204 No Content\r\n\r\n") as receiver:
        _, delivery = await sent(caller, receiver)
        await receiver.gets(1)
        began = trio.current_time()
        await receiver.gets(2)
        waited_s = trio.current_time() - began
        detail = await ended(caller, delivery)
        first, second = receiver.received
    assert (first.headers, first.body) == (second.headers, second.body)
    assert 1.9 < waited_s < 3.5
    assert [each["status"] for each in detail["attempt_log"]] == [307, 204]
    assert detail["state"] == "delivered"


async def test_a_replay_is_a_delivery_of_its_own_with_the_same_body(caller: Caller) -> None:
    async with open_receiver() as receiver:
        webhook, delivery = await sent(caller, receiver)
        first = await ended(caller, delivery)
        path = f"{HOOKS}/{webhook['id']}"
        rotated = (await caller.http.post(f"{path}/secret/rotate")).json()
        again = (await caller.http.post(f"{path}/deliveries/{delivery['id']}/replay")).json()
        second = await ended(caller, again)
        _, received = receiver.received
    assert (second["replay_of"], second["body"]) == (first["id"], first["body"])
    assert second["id"] != first["id"]
    assert rotated["secret"] != webhook["secret"]
    assert received.is_signed(rotated["secret"])
    assert received.is_signed(webhook["secret"], "x-callmissed-signature-previous")


async def test_what_is_switched_off_hears_nothing_and_is_not_tested(caller: Caller) -> None:
    async with open_receiver(SILENCE) as receiver:
        webhook, delivery = await sent(caller, receiver)
        await receiver.gets(1)
        path = f"{HOOKS}/{webhook['id']}"
        await caller.http.put(path, json={"is_active": False})
        detail = await ended(caller, delivery)
        replies = [await caller.http.post(f"{path}/{rest}") for rest in ("test", f"deliveries/{delivery['id']}/replay")]
    assert (detail["state"], detail["error"]) == ("failed", "the webhook was switched off")
    assert [(reply.status_code, reply.json()["error"]["code"]) for reply in replies] == [(409, "conflict")] * 2


async def test_tests_without_end_are_refused_while_others_wait(caller: Caller) -> None:
    async with open_receiver(ERROR) as receiver:
        webhook = await made(caller, url=receiver.url)
        replies = [await caller.http.post(f"{HOOKS}/{webhook['id']}/test") for _ in range(21)]
    assert [reply.status_code for reply in replies] == [202] * 20 + [429]
    assert replies[-1].headers["retry-after"] == "15"


async def test_pages_hold_every_delivery_once_even_when_they_are_of_one_moment(caller: Caller) -> None:
    async with open_receiver() as receiver:
        webhook = await made(caller, url=receiver.url)
        path = f"{HOOKS}/{webhook['id']}"
        ids = {(await caller.http.post(f"{path}/test")).json()["id"] for _ in range(5)}
        tenant = caller.house.customer.tenant_id
        elsewhere(caller.house, lambda db: db.run("UPDATE deliveries SET created_at = 1 WHERE tenant_id = ?", tenant))
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await caller.http.get(f"{path}/deliveries", params={"limit": "2", "before": cursor})).json()
            found += [delivery["id"] for delivery in page["data"]]
            cursor = page["next_cursor"]
    assert sorted(found) == sorted(ids)


async def test_a_page_that_cannot_be_is_refused(caller: Caller) -> None:
    webhook = await made(caller)
    for name, value in (("limit", "0"), ("limit", "201"), ("limit", "x"), ("before", "yesterday")):
        reply = await caller.http.get(f"{HOOKS}/{webhook['id']}/deliveries", params={name: value})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, name)


async def test_unless_allowed_nothing_leads_inside(database_url: str) -> None:
    async with open_caller(database_url, customer=SCOPE) as caller, open_receiver() as receiver:
        port = receiver.peer.url.rpartition(":")[2]
        for url in ("http://receiver.example/", f"https://127.0.0.1:{port}/", f"https://localhost:{port}/"):
            reply = await caller.http.post(HOOKS, json={**NEW, "url": url})
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, "url")
        webhook = await made(caller)
        tenant = caller.house.customer.tenant_id
        inside = f"https://localhost:{port}/"
        elsewhere(caller.house, lambda db: db.run("UPDATE webhooks SET url = ? WHERE tenant_id = ?", inside, tenant))
        await caller.http.post(f"{HOOKS}/{webhook['id']}/test")

        async def tried() -> bool:
            return caller.rows("SELECT attempts, error FROM deliveries") == [
                (1, "url must name a public host of the internet.")
            ]

        await until(tried)
        assert receiver.peer.connections == 0
