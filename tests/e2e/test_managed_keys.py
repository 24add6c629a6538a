"""Keys as owners and admins manage them: used with the SDK, changed, rotated and revoked while they are in use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import trio
from openai import OpenAI

from app.core.identity import is_key, new_uuid, now_us
from app.storage import key_rows
from app.storage.database import Transaction
from tests.databases import ON_BOTH
from tests.e2e.calling import DONE, Json, change, elsewhere, question
from tests.e2e.managing import Manager, open_browser, open_manager, open_second
from tests.house import add_customer
from tests.storage.key_making import key_row

pytestmark = ON_BOTH
KEYS: Final = "/api/v1/keys"
DEFAULTS: Final = {
    **{"permissions": "*", "scopes": "", "allowed_domains": "*", "allowed_models": "*"},
    **{"allowed_search_providers": "*", "rate_limit_rpm": None, "budget_limit": None, "budget_used": 0.0},
    **{"budget_remaining": None, "logs_enabled": False, "prompt_logging_enabled": False, "expires_in_days": None},
    **{"expires_at": None, "is_active": True},
}
#: Longer than everything that a test does meanwhile.
SLOW: Final = "[tokens=40] [pace=40]"


@pytest.fixture
async def manager(database_url: str) -> AsyncIterator[Manager]:
    async with open_manager(database_url) as opened:
        yield opened


async def test_a_key_that_is_made_works_with_the_sdk_and_is_shown_once(manager: Manager) -> None:
    made = await manager.create(" my  server ", permissions="llm", budget_limit=2.5)
    text = made.pop("key")
    assert is_key(text)
    assert made == {
        **DEFAULTS,
        **{"id": made["id"], "name": "my server", "hint": text[:8], "created_at": made["created_at"]},
        **{"permissions": "llm", "budget_limit": 2.5, "budget_remaining": 2.5},
    }

    def say_hello() -> str | None:
        with OpenAI(api_key=text, base_url=f"{manager.caller.house.url}/v1", max_retries=0) as client:
            messages: Any = [{"role": "user", "content": "hello [tokens=3]"}]
            return client.chat.completions.create(model="kimi-k2.6", messages=messages).choices[0].message.content

    assert await trio.to_thread.run_sync(say_hello)
    shown = (await manager.http.get(f"{KEYS}/{made['id']}")).json()
    assert shown["budget_used"] > 0
    assert shown["budget_remaining"] == pytest.approx(2.5 - shown["budget_used"], abs=1e-9)
    assert {**shown, "budget_used": 0.0, "budget_remaining": 2.5} == made
    everything = repr(manager.caller.rows("SELECT * FROM api_keys")) + (await manager.http.get(KEYS)).text
    assert text not in everything


async def test_a_key_that_is_revoked_while_it_streams_ends_its_answer_and_never_begins_another(
    manager: Manager,
) -> None:
    made = await manager.create()
    async with manager.caller.stream(question(SLOW), authorization=f"Bearer {made['key']}") as stream:
        await anext(stream)
        reply = await manager.http.delete(f"{KEYS}/{made['id']}")
        assert (reply.status_code, reply.content) == (204, b"")
        assert await manager.call(made["key"]) == (401, "invalid_api_key")
        assert (await stream.events())[-1].payload == DONE
    assert (await manager.http.delete(f"{KEYS}/{made['id']}")).status_code == 204
    listed = (await manager.http.get(KEYS)).json()["data"]
    assert made["id"] not in {key["id"] for key in listed}
    everything = (await manager.http.get(KEYS, params={"include_revoked": "true"})).json()["data"]
    assert {key["id"]: (key["name"], key["is_active"]) for key in everything}[made["id"]] == ("server", False)
    again = await manager.create()
    assert await manager.call(again["key"]) == (200, "")


async def test_a_change_a_rotation_and_a_revocation_hold_on_the_next_call_in_another_process(manager: Manager) -> None:
    made = await manager.create()
    path, old = f"{KEYS}/{made['id']}", made["key"]
    async with open_second(manager.caller.house) as second:
        assert await manager.call(old, second) == (200, "")
        await manager.http.patch(path, json={"rate_limit_rpm": 1})
        assert [await manager.call(old, second) for _ in range(2)] == [(200, ""), (429, "rate_limit_exceeded")]
        await manager.http.patch(path, json={"rate_limit_rpm": None, "allowed_models": "sarvam-30b"})
        assert await manager.call(old, second) == (403, "model_not_allowed")
        await manager.http.patch(path, json={"allowed_models": "*"})
        rotated = (await manager.http.post(f"{path}/rotate")).json()
        same = {name for name in made if rotated[name] == made[name]}
        assert made.keys() - same == {"key", "hint", "budget_used"}
        for url in (second, ""):
            assert await manager.call(old, url) == (401, "invalid_api_key")
            assert await manager.call(rotated["key"], url) == (200, "")
        await manager.http.delete(path)
        assert await manager.call(rotated["key"], second) == (401, "invalid_api_key")


async def test_what_a_change_leaves_out_stays_and_null_takes_a_limit_away(manager: Manager) -> None:
    given: Json = {
        "rate_limit_rpm": 7,
        "budget_limit": 1,
        "expires_in_days": 30,
        "scopes": "usage:read",
        "logs_enabled": True,
    }
    made = await manager.create(**given)
    made.pop("key")
    path = f"{KEYS}/{made['id']}"
    assert {name: made[name] for name in given} == given
    renamed = (await manager.http.patch(path, json={"name": "other"})).json()
    assert renamed == {**made, "name": "other"}
    freed = await manager.http.patch(
        path, json={"rate_limit_rpm": None, "budget_limit": None, "expires_in_days": None, "scopes": ""}
    )
    gone = {"rate_limit_rpm": None, "budget_limit": None, "budget_remaining": None, "scopes": ""}
    assert freed.json() == {**renamed, **gone, "expires_in_days": None, "expires_at": None}


async def test_a_budget_that_is_spent_refuses_the_next_call_and_tells_the_webhooks_once(manager: Manager) -> None:
    made = await manager.create(budget_limit=10)
    assert await manager.call(made["key"]) == (200, "")
    used = (await manager.http.get(f"{KEYS}/{made['id']}")).json()["budget_used"]
    await manager.http.patch(f"{KEYS}/{made['id']}", json={"budget_limit": round(used * 1.1, 6)})
    tenant = manager.caller.house.customer.tenant_id
    elsewhere(
        manager.caller.house,
        lambda db: db.run(
            "INSERT INTO webhooks (tenant_id, id, url, events, secret, is_active, created_at, updated_at) "
            "VALUES (?, 'hook', 'https://hook.invalid', 'budget.exceeded', '', 1, 0, 0)",
            tenant,
        ),
    )
    assert [await manager.call(made["key"]) for _ in range(3)] == [(402, "budget_exceeded")] * 3
    ((body,),) = manager.caller.rows("SELECT body FROM deliveries")
    assert f'"key_id":"{made["id"]}"' in body
    await manager.http.patch(f"{KEYS}/{made['id']}", json={"budget_limit": 10})
    assert await manager.call(made["key"]) == (200, "")


async def test_what_is_left_of_a_minute_and_a_month_is_shown(manager: Manager) -> None:
    made = await manager.create(rate_limit_rpm=5, budget_limit=3)
    path = f"{KEYS}/{made['id']}/rate-state"
    fresh = (await manager.http.get(path)).json()
    expected = {"rate_limit_rpm": 5, "used": 0, "remaining": 5, "budget_limit": 3.0, "budget_used": 0.0}
    assert {**fresh, "reset_at": ""} == {**expected, "reset_at": "", "budget_remaining": 3.0}
    for _ in range(3):
        assert await manager.call(made["key"]) == (200, "")
    after = (await manager.http.get(path)).json()
    assert (after["used"], after["remaining"]) == (3, 2)
    assert after["reset_at"] > fresh["reset_at"]
    assert after["budget_used"] > 0
    plan = (await manager.http.get(f"{KEYS}/{manager.caller.house.customer.key_id}/rate-state")).json()
    assert plan["rate_limit_rpm"] == 10_000


async def test_an_expired_key_lives_again_only_by_a_new_term(manager: Manager) -> None:
    made = await manager.create(expires_in_days=1)
    path = f"{KEYS}/{made['id']}"
    change(manager.caller.house, "UPDATE api_keys SET expires_at = ? WHERE id = ?", now_us() - 1, made["id"])
    assert await manager.call(made["key"]) == (401, "api_key_expired")
    assert (await manager.http.get(path)).json()["expires_in_days"] == 0
    assert await manager.refused("POST", f"{path}/rotate") == (409, "conflict", None)
    await manager.http.patch(path, json={"expires_in_days": 2})
    assert await manager.call(made["key"]) == (200, "")


async def test_a_name_that_many_want_at_once_is_given_to_one(manager: Manager) -> None:
    statuses: list[int] = []

    async def create(url: str) -> None:
        headers = {"origin": url} if url else {}
        reply = await manager.http.post(f"{url}{KEYS}", json={"name": "wanted"}, headers=headers)
        statuses.append(reply.status_code)

    async with open_second(manager.caller.house) as second, trio.open_nursery() as nursery:
        for url in ("", second) * 6:
            nursery.start_soon(create, url)
    assert sorted(statuses) == [201] + [409] * 11
    other = await manager.create("other")
    path = f"{KEYS}/{other['id']}"
    assert await manager.refused("PATCH", path, {"name": "wanted"}) == (409, "conflict", "name")
    assert (await manager.http.patch(path, json={"name": "other"})).status_code == 200


async def test_a_revoked_key_is_neither_changed_nor_rotated(manager: Manager) -> None:
    made = await manager.create()
    path = f"{KEYS}/{made['id']}"
    await manager.http.delete(path)
    for method, where, body in (("PATCH", path, {"name": "again"}), ("POST", f"{path}/rotate", None)):
        assert await manager.refused(method, where, body) == (409, "conflict", None)
    assert (await manager.http.get(path)).json()["name"] == "server"


REFUSED: Final[list[tuple[Json, str, str]]] = [
    ({"name": ""}, "invalid_value", "name"),
    ({"name": " \t"}, "invalid_value", "name"),
    ({"name": "a\x00b"}, "invalid_value", "name"),
    ({"name": "a" * 101}, "invalid_value", "name"),
    ({"name": None}, "invalid_type", "name"),
    ({"permissions": "llm,sttt"}, "invalid_value", "permissions"),
    ({"permissions": ["llm"]}, "invalid_type", "permissions"),
    ({"scopes": "usage:write"}, "invalid_value", "scopes"),
    ({"allowed_domains": "https://a.example/x"}, "invalid_value", "allowed_domains"),
    ({"allowed_models": "kimi-9"}, "invalid_value", "allowed_models"),
    ({"allowed_models": ""}, "invalid_value", "allowed_models"),
    ({"allowed_search_providers": "bing"}, "invalid_value", "allowed_search_providers"),
    ({"rate_limit_rpm": 0}, "invalid_value", "rate_limit_rpm"),
    ({"rate_limit_rpm": 100_001}, "invalid_value", "rate_limit_rpm"),
    ({"rate_limit_rpm": 2.5}, "invalid_type", "rate_limit_rpm"),
    ({"budget_limit": -1}, "invalid_value", "budget_limit"),
    ({"budget_limit": 0.0000001}, "invalid_value", "budget_limit"),
    ({"budget_limit": 10**9}, "invalid_value", "budget_limit"),
    ({"budget_limit": "5"}, "invalid_type", "budget_limit"),
    ({"expires_in_days": 0}, "invalid_value", "expires_in_days"),
    ({"expires_in_days": 366}, "invalid_value", "expires_in_days"),
    ({"logs_enabled": 1}, "invalid_type", "logs_enabled"),
]


async def test_what_a_key_cannot_have_is_refused_by_name_and_changes_nothing(manager: Manager) -> None:
    made = await manager.create("kept")
    path = f"{KEYS}/{made['id']}"
    before = manager.caller.rows("SELECT * FROM api_keys ORDER BY id")
    for fields, code, param in REFUSED:
        assert await manager.refused("POST", KEYS, {"name": "new", **fields}) == (400, code, param), fields
        assert await manager.refused("PATCH", path, fields) == (400, code, param), fields
    assert await manager.refused("POST", KEYS, {}) == (400, "missing_required_parameter", "name")
    for query in ("limit=0", "limit=201", "before=yesterday", "include_revoked=perhaps"):
        assert (await manager.refused("GET", f"{KEYS}?{query}"))[0] == 400, query
    assert manager.caller.rows("SELECT * FROM api_keys ORDER BY id") == before


async def test_a_foreign_key_is_answered_byte_for_byte_like_a_missing_one(manager: Manager) -> None:
    house = manager.caller.house
    foreign = elsewhere(house, lambda db: add_customer(db, "Bolt"))
    before = manager.caller.rows("SELECT * FROM api_keys ORDER BY id")
    for method, rest, body in (
        *(("GET", "", None), ("PATCH", "", {"name": "mine"}), ("DELETE", "", None)),
        *(("POST", "/rotate", None), ("GET", "/rate-state", None)),
    ):
        replies = [
            await manager.http.request(method, f"{KEYS}/{key_id}{rest}", json=body)
            for key_id in (foreign.key_id, new_uuid(now_us()))
        ]
        assert [reply.status_code for reply in replies] == [404, 404], rest
        assert replies[0].content == replies[1].content
    for method in ("GET", "POST"):
        assert await manager.refused(method, f"{KEYS}/{foreign.key_id}/reveal") == (501, "not_implemented", None)
    assert manager.caller.rows("SELECT * FROM api_keys ORDER BY id") == before
    async with open_browser(house, "owner", foreign.tenant_id) as theirs:
        assert [key["id"] for key in (await theirs.get(KEYS)).json()["data"]] == [foreign.key_id]


async def test_a_thousand_keys_are_paged_without_a_gap_or_a_repetition_while_more_are_made(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.usecases.keys.MOST_KEYS", 2000)
    tenant = manager.caller.house.customer.tenant_id
    at = now_us()

    def make(db: Transaction) -> list[str]:
        rows = [key_row(f"key {number}", at - number // 9) for number in range(1000)]
        for row in rows:
            key_rows.insert_row(db, tenant, row, f"digest {row.id}")
        return [row.id for row in rows]

    made = elsewhere(manager.caller.house, make)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await manager.http.get(KEYS, params={"limit": "90", "before": cursor})).json()
        seen += [key["id"] for key in page["data"]]
        cursor = page["next_cursor"]
        await manager.create(f"newer {len(seen)}")
    assert len(seen) == len(set(seen))
    assert set(made) <= set(seen)
    assert set(seen) - set(made) <= {manager.caller.house.customer.key_id}


async def test_there_is_a_bound_to_how_many_live_keys_there_are(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = manager.caller.rows("SELECT COUNT(*) FROM api_keys WHERE is_active = 1")[0][0]
    monkeypatch.setattr("app.usecases.keys.MOST_KEYS", live + 1)
    made = await manager.create("the last one")
    refused = await manager.http.post(KEYS, json={"name": "one more"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    await manager.http.delete(f"{KEYS}/{made['id']}")
    await manager.create("again one")
