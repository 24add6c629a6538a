"""The status page is for everybody, follows what calls meet, and paths without a backend say that there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.api.status import ABSENT, METHODS
from tests.e2e.calling import Caller, Json, open_caller, until


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with open_caller(tmp_path) as opened:
        yield opened


async def page(caller: Caller) -> Json:
    reply = await caller.http.get("/api/v1/status", headers={"authorization": ""})
    assert reply.status_code == 200
    shown: Json = reply.json()
    return shown


async def test_all_is_operational_at_first(caller: Caller) -> None:
    async def ready() -> bool:
        return bool((await page(caller))["status"] == "operational")

    await until(ready)
    shown = await page(caller)
    assert {each["name"]: each["status"] for each in shown["components"]} == {
        "api": "operational",
        "database": "operational",
    }
    assert {each["status"] for each in shown["models"]} <= {"operational", "maintenance"}


async def test_a_model_whose_provider_fails_is_down_and_says_so(caller: Caller) -> None:
    for _ in range(6):
        await caller.chat("[mock=5xx]", "sarvam-30b")
    shown = await page(caller)
    assert {each["id"]: each["status"] for each in shown["models"]}["sarvam-30b"] == "down"
    assert shown["status"] == "degraded"


async def test_what_has_no_backend_is_501(caller: Caller) -> None:
    for path in ABSENT:
        for method in METHODS:
            for url in (path, f"{path}/orders/7"):
                reply = await caller.http.request(method, url)
                assert (reply.status_code, reply.json()["error"]["code"]) == (501, "not_implemented")
