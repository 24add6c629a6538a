"""Credits as members and keys with the scope see them: what is left, where it went, and the budget that holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from app.core.identity import now_us
from app.core.times import DAY_US
from app.storage import ledger
from tests.databases import ON_BOTH
from tests.e2e.calling import Json, elsewhere
from tests.e2e.managing import Manager, open_browser, open_manager
from tests.house import Customer, add_customer

pytestmark = ON_BOTH
CREDITS: Final = "/api/v1/credits"
TRANSACTIONS: Final = f"{CREDITS}/transactions"
BUDGET: Final = f"{CREDITS}/budget"


@pytest.fixture
async def manager(database_url: str) -> AsyncIterator[Manager]:
    async with open_manager(database_url) as opened:
        yield opened


def give(manager: Manager, kind: str, credits: float, ref: str, at_us: int | None = None, note: str = "") -> None:
    tenant, amount = manager.caller.house.customer.tenant_id, round(credits * 1_000_000)
    at = now_us() if at_us is None else at_us
    assert elsewhere(manager.caller.house, lambda db: ledger.credit(db, tenant, kind, amount, ref, at, note))


async def get(manager: Manager, path: str, **query: Any) -> Json:
    reply = await manager.http.get(path, params=query)
    assert reply.status_code == 200, reply.text
    body: Json = reply.json()
    return body


async def test_a_call_is_a_deduction_that_names_its_model_and_its_request(manager: Manager) -> None:
    reply = await manager.caller.chat("[tokens=5]", "kimi-k2.6")
    receipt = await manager.caller.receipt(reply.json()["id"])
    line = (await get(manager, TRANSACTIONS))["data"][0]
    assert line == {
        "id": line["id"],
        "amount": -receipt["credits"],
        "balance_after": (await get(manager, f"{CREDITS}/balance"))["balance"],
        "type": "deduction",
        "description": "LLM call: kimi-k2.6",
        "reference_id": reply.headers["x-request-id"],
        "created_at": line["created_at"],
    }
    summary = (await get(manager, TRANSACTIONS))["summary_by_type"]
    assert summary["deduction"] == {"count": 1, "total": line["amount"]}


async def test_credits_that_were_given_are_listed_by_type(manager: Manager) -> None:
    give(manager, "grant", 1000, "signup_bonus")
    give(manager, "refund", 2.5, "ticket-1", note="Sorry")
    for kind, amount, text in (("signup_bonus", 1000.0, "Signup bonus"), ("refund", 2.5, "Sorry")):
        (line,) = (await get(manager, TRANSACTIONS, type=kind))["data"]
        assert (line["type"], line["amount"], line["description"]) == (kind, amount, text)
    assert (await get(manager, TRANSACTIONS, type="coupon"))["data"] == []
    assert (await get(manager, TRANSACTIONS, type="coupon"))["summary_by_type"].keys() == {
        *("admin", "refund", "signup_bonus")
    }


async def test_the_real_balance_is_without_what_is_left_of_the_bonus(manager: Manager) -> None:
    before = await get(manager, f"{CREDITS}/balance")
    assert before == {"balance": 1e6, "real_balance": 1e6, "currency": "INR", "rate": "1 credit = INR 1"}
    give(manager, "grant", 1000, "signup_bonus")
    await manager.caller.chat("[tokens=5]")
    after = await get(manager, f"{CREDITS}/balance")
    assert 1e6 + 999 < after["balance"] < 1e6 + 1000
    assert after["real_balance"] == 1e6


async def test_a_window_of_days_begins_at_midnight_and_its_sums_are_of_the_window(manager: Manager) -> None:
    midnight = now_us() // DAY_US * DAY_US
    for number, at in enumerate((midnight - 3 * DAY_US - 1, midnight - 3 * DAY_US, midnight + 1)):
        give(manager, "purchase", number + 1, f"p{number}", at)
    shown = await get(manager, TRANSACTIONS, since_days=3, type="purchase")
    assert [line["amount"] for line in shown["data"]] == [3.0, 2.0]
    assert shown["summary_by_type"]["purchase"] == {"count": 2, "total": 5.0}
    assert (await get(manager, TRANSACTIONS))["summary_by_type"]["purchase"] == {"count": 3, "total": 6.0}


async def test_pages_hold_every_line_once_while_calls_go_on(manager: Manager) -> None:
    for number in range(25):
        give(manager, "purchase", 1, f"p{number:02}", now_us() - number // 4)
    seen: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await get(manager, TRANSACTIONS, limit=4, before=cursor)
        seen += page["data"]
        cursor = page["next_cursor"]
        await manager.caller.chat("[tokens=1]")
    assert len({line["id"] for line in seen}) == len(seen) == 26
    assert [line["created_at"] for line in seen] == sorted((line["created_at"] for line in seen), reverse=True)


async def test_a_budget_holds_from_the_next_call_and_shows_what_is_left(manager: Manager) -> None:
    fresh = await get(manager, BUDGET)
    nothing = {"monthly_budget_credits": None, "remaining_credits": None, "low_balance_credits": None}
    assert fresh == {
        **nothing,
        **{"period_start": fresh["period_start"], "period_used_credits": 0.0, "alerts_enabled": True},
    }
    key = manager.caller.house.customer.key
    assert await manager.call(key) == (200, "")
    tight = {"monthly_budget_credits": 0.000001, "alerts_enabled": False, "low_balance_credits": 5}
    reply = await manager.http.put(BUDGET, json=tight)
    assert (reply.status_code, reply.json()["remaining_credits"]) == (200, 0.0)
    assert await manager.call(key) == (402, "budget_exceeded")
    reply = await manager.http.put(BUDGET, json={"monthly_budget_credits": None})
    assert reply.json() == {
        **{"monthly_budget_credits": None, "remaining_credits": None, "alerts_enabled": False},
        **{"low_balance_credits": 5.0, "period_start": fresh["period_start"]},
        "period_used_credits": reply.json()["period_used_credits"],
    }
    assert await manager.call(key) == (200, "")


async def test_a_budget_that_makes_no_sense_is_refused_by_name(manager: Manager) -> None:
    for name in ("monthly_budget_credits", "low_balance_credits"):
        for value, code in (
            (-1, "invalid_value"),
            (1e-7, "invalid_value"),
            (1e9, "invalid_value"),
            ("5", "invalid_type"),
        ):
            assert await manager.refused("PUT", BUDGET, {name: value}) == (400, code, name)
    assert await manager.refused("PUT", BUDGET, {"alerts_enabled": None}) == (400, "invalid_type", "alerts_enabled")
    for query in ("limit=0", "since_days=366", "since_days=0", "type=charge", "before=now"):
        assert (await manager.refused("GET", f"{TRANSACTIONS}?{query}"))[0] == 400, query


async def test_packs_come_from_the_catalog(manager: Manager) -> None:
    packs = (await get(manager, f"{CREDITS}/packs"))["data"]
    first = {"id": "credits-500", "name": "500 credits", "credits": 500, "price": 500, "currency": "INR"}
    assert packs[0] == first
    assert len(packs) > 1


async def test_a_key_with_the_scope_reads_its_own_tenant_and_sets_nothing(manager: Manager) -> None:
    def customer(name: str) -> Customer:
        return elsewhere(manager.caller.house, lambda db: add_customer(db, name, credit_ucr=7, scopes="usage:read"))

    headers = {"authorization": f"Bearer {customer('Bolt').key}"}
    http = manager.caller.http
    shown = (await http.get(TRANSACTIONS, headers=headers)).json()
    assert [line["amount"] for line in shown["data"]] == [0.000007]
    assert shown["summary_by_type"] == {"admin": {"count": 1, "total": 0.000007}}
    assert (await http.get(f"{CREDITS}/balance", headers=headers)).json()["balance"] == 0.000007
    reply = await http.put(BUDGET, headers=headers, json={"monthly_budget_credits": 1})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "session_required")


async def test_an_agent_sees_the_balance_and_the_budget_but_not_the_transactions(manager: Manager) -> None:
    async with open_browser(manager.caller.house, "agent") as agent:
        statuses = [(await agent.get(f"{CREDITS}/{what}")).status_code for what in ("balance", "packs", "budget")]
        assert statuses == [200] * 3
        assert (await agent.get(TRANSACTIONS)).status_code == 403
        assert (await agent.put(BUDGET, json={"alerts_enabled": False})).status_code == 403
