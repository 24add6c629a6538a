"""Who may call what: keys, permissions, domains, models and plans, and that a change holds from the next call on."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.identity import Principal, key_digest, now_us
from app.storage import keys
from app.storage.database import Transaction
from app.storage.keys import KeySettings
from app.usecases import models
from app.usecases.access import Access
from catalog.catalog import Catalog
from tests.databases import ON_BOTH
from tests.e2e.calling import CHAT, Caller, change, elsewhere, open_caller, question, until
from tests.house import SECRET, add_customer

pytestmark = ON_BOTH

HOUR_US = 3_600_000_000
SHAPELESS = (
    *("cm_", "sk-" + "a" * 40, "cm_" + "a" * 39, "cm_" + "a" * 41, "CM_" + "a" * 40, "cm_" + "a" * 39 + "'"),
    *("cm_' OR 1=1 --", "cm_" + "a" * 39 + "%", "null", "*", "cm_" + "a" * 5000),
)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def refused(caller: Caller, model: str | None = "kimi-k2.6", **fields: Any) -> tuple[int, str]:
    reply = await caller.chat("[tokens=1]", model, **fields)
    return reply.status_code, reply.json().get("error", {"code": ""})["code"]


async def test_what_is_not_shaped_like_a_key_never_reaches_the_database(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    find = keys.find_principal

    def counted(db: Transaction, digest: str, at_us: int) -> Principal:
        looked_up.append(digest)
        return find(db, digest, at_us)

    monkeypatch.setattr(keys, "find_principal", counted)
    wrong = [bearer(key) for key in SHAPELESS]
    wrong += [
        {"authorization": text} for text in ("", "Bearer", "Basic Y21fOg==", f"Token {caller.house.customer.key}")
    ]
    wrong.append(bearer(key_digest(SECRET.encode(), caller.house.customer.key)))
    for headers in wrong:
        for reply in (await caller.post(question(), **headers), await caller.http.get("/v1/models", headers=headers)):
            assert reply.status_code == 401
            assert reply.json()["error"]["code"] == "invalid_api_key"
    assert looked_up == []
    assert (await caller.post(question(), **bearer("cm_" + "a" * 40))).status_code == 401
    assert len(looked_up) == 1
    assert caller.books().calls == 0


async def test_the_first_refusal_is_the_one_that_the_contract_names(database_url: str) -> None:
    async with open_caller(database_url, customer={"permissions": "stt", "allowed_domains": "shop.example"}) as caller:
        garbage = b"{"
        assert (await caller.post(garbage, **bearer("cm_wrong"))).status_code == 401
        foreign = await caller.post(garbage, origin="https://evil.example")
        assert foreign.json()["error"]["code"] == "domain_not_allowed"
        assert (await caller.post(garbage)).json()["error"]["code"] == "permission_denied"


async def test_a_permission_is_needed_where_it_says_so(database_url: str) -> None:
    async with open_caller(database_url, customer={"permissions": "stt,tts"}) as caller:
        assert await refused(caller) == (403, "permission_denied")
        receipt = await caller.http.get("/v1/generation", params={"id": "chatcmpl-1"})
        assert receipt.json()["error"]["code"] == "not_found"  # a receipt is open to whoever may make calls of any kind
        assert (await caller.http.get("/v1/models")).status_code == 200
        assert (await caller.http.get("/v1/credits")).status_code == 200


async def test_the_domains_of_a_key_hold_on_every_route(database_url: str) -> None:
    async with open_caller(database_url, customer={"allowed_domains": "shop.example"}) as caller:
        for path in ("/v1/models", "/v1/models/auto", "/v1/credits", "/v1/generation?id=x"):
            reply = await caller.http.get(path, headers={"origin": "https://evil.example"})
            assert reply.json()["error"]["code"] == "domain_not_allowed", path


async def test_a_revoked_key_fails_on_its_next_call_although_it_is_remembered(caller: Caller) -> None:
    assert await refused(caller) == (200, "")
    customer = caller.house.customer
    assert elsewhere(caller.house, lambda db: keys.revoke_key(db, customer.tenant_id, customer.key_id))
    assert await refused(caller) == (401, "invalid_api_key")
    assert (await caller.http.get("/v1/models")).status_code == 401
    assert len(caller.upstream()) == 1


async def test_an_expired_key_fails_even_when_it_expires_while_it_is_remembered(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_caller(database_url, customer={"expires_us": now_us() + HOUR_US}) as caller:
        assert await refused(caller) == (200, "")
        monkeypatch.setattr(Access, "_clock", property(lambda _: lambda: now_us() + HOUR_US), raising=False)
        assert await refused(caller) == (401, "api_key_expired")
        assert (await caller.http.get("/v1/credits")).json()["error"]["code"] == "api_key_expired"


async def test_a_changed_key_is_another_key_on_its_next_call(caller: Caller) -> None:
    customer = caller.house.customer

    def update(**settings: Any) -> None:
        changed = KeySettings("test", **settings)
        assert elsewhere(caller.house, lambda db: keys.update_key(db, customer.tenant_id, customer.key_id, changed))

    assert await refused(caller) == (200, "")
    update(permissions="tts")
    assert await refused(caller) == (403, "permission_denied")
    update(allowed_models="sarvam-30b")
    assert await refused(caller) == (403, "model_not_allowed")
    update(allowed_models="kimi-k2.6")
    assert await refused(caller) == (200, "")
    update(budget_ucr=10)
    assert await refused(caller) == (402, "budget_exceeded")


async def test_a_suspended_account_is_refused_on_its_next_call(caller: Caller) -> None:
    assert await refused(caller) == (200, "")
    tenant = caller.house.customer.tenant_id
    change(caller.house, "UPDATE tenants SET status = 'suspended', version = version + 1 WHERE id = ?", tenant)
    assert await refused(caller) == (403, "account_inactive")


async def test_a_key_reaches_its_models_by_any_of_their_names_and_no_other(database_url: str) -> None:
    async with open_caller(database_url, customer={"allowed_models": "gpt-5.4-mini, kimi-k2.5"}) as caller:
        for model in ("openai/gpt-5.4-mini", "gpt-5.4-mini", "OpenAI/GPT-5.4-Mini", "openai/gpt-5.4-mini:nitro"):
            assert await refused(caller, model) == (200, ""), model
        for model in ("openai/gpt-5.4", "sarvam-30b", "kimi-k2.5-fast", "openrouter/auto"):
            assert await refused(caller, model) == (403, "model_not_allowed"), model
        fallen_back = await caller.chat("[tokens=1]", None)
        assert fallen_back.json()["model"] == "kimi-k2.5"


async def test_the_free_plan_calls_free_models_only_and_is_told_where_to_look(database_url: str) -> None:
    async with open_caller(database_url, customer={"plan": "free"}) as caller:
        reply = await caller.chat("hi", "openai/gpt-5.4")
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (403, "model_not_available", "model")
        assert "openai/gpt-5.4" in error["message"]
        assert "GET /api/v1/models/access" in error["message"]
        assert await refused(caller, "kimi-k2.5-fast") == (403, "model_not_available")
        assert await refused(caller, "sarvam-30b") == (200, "")
        assert (await caller.chat("[tokens=1]", None)).json()["model"] == "kimi-k2.5"
        free = (await caller.http.get("/api/v1/models/access")).json()["plans"]["free"]["by_category"]["llm"]
        assert "sarvam-30b" in free
        assert "openai/gpt-5.4" not in free


async def test_a_model_taken_out_of_service_is_refused_without_a_restart(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "RELOAD_S", 0.02)
    async with open_caller(database_url) as caller:
        changed = Catalog.load().with_status({"kimi-k2.6": "maintenance", "glm-5.2": "disabled"})
        assert await refused(caller, "glm-5.2") == (200, "")
        elsewhere(caller.house, lambda db: models.seed(db, changed))

        async def reloaded() -> bool:
            return await refused(caller, "glm-5.2") == (404, "model_not_found")

        await until(reloaded)
        reply = await caller.chat()
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_under_maintenance")
        assert reply.headers["x-should-retry"] == "false"
        listed = {entry["id"]: entry["status"] for entry in (await caller.http.get("/v1/models")).json()["data"]}
        assert listed["kimi-k2.6"] == "maintenance"
        assert "glm-5.2" not in listed


async def test_each_tenant_pays_for_its_own_calls(caller: Caller) -> None:
    other = elsewhere(caller.house, lambda db: add_customer(db, "Other", credit_ucr=7))
    before = caller.books().balance
    assert (await caller.post(question("[tokens=1]"), path=CHAT, **bearer(other.key))).status_code == 402
    assert caller.books().balance == before
    assert await refused(caller) == (200, "")
    shown = await caller.http.get("/v1/credits", headers=bearer(other.key))
    assert shown.json() == {"balance": 0.000007, "held": 0.0, "available": 0.000007}
