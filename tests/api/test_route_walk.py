"""Every route of the gateway declares what it is, and a billable one authenticates, limits, holds and settles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from unittest.mock import MagicMock

import pytest
from quart import Quart

from app.api.app import PLATFORM
from app.core.identity import new_key
from tests.api.routes import AUTHENTICATED, BILLABLE, FORMS, GOOD, PUBLIC, ROUTES, another, make_app, spent
from tests.e2e.calling import Caller, open_caller
from tests.e2e.speaking import recording

FORGED: Final = {
    "host": "localhost",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-host": "localhost",
    "x-original-url": "/healthz",
    "x-rewrite-url": "/healthz",
    "x-http-method-override": "OPTIONS",
    "x-user-id": "admin",
}


def served(app: Quart) -> set[tuple[str, str]]:
    """(method, rule) of every route; HEAD and OPTIONS come of themselves."""
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def platform_routes() -> set[tuple[str, str]]:
    """They are declared where they are made, with who may use them; test_platform_walk.py knocks at each."""
    return {(each.method, each.path) for area in PLATFORM for each in area(MagicMock()).operations}


def test_every_route_is_declared() -> None:
    assert served(make_app()) == set(ROUTES) | platform_routes()


def test_a_route_that_nobody_declared_would_be_seen() -> None:
    app = make_app()
    app.add_url_rule("/v1/free-lunch", "free lunch", lambda: "", methods=["POST"])
    assert served(app) - set(ROUTES) - platform_routes() == {("POST", "/v1/free-lunch")}


def test_a_route_that_is_looked_up_directly_is_in_the_url_map_too() -> None:
    app = make_app()
    assert set(app.config["DIRECT_ROUTES"]) <= served(app)


def test_every_billable_route_has_a_good_request_to_walk_with() -> None:
    assert {path for _, path in BILLABLE} <= set(GOOD) | set(FORMS)


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with open_caller(tmp_path) as opened:
        yield opened


async def knock(caller: Caller, route: tuple[str, str], key: str | None, **headers: str) -> tuple[int, str | None]:
    """The status and error code of a request that is good but for its key."""
    method, path = route
    authorization = {} if key is None else {"authorization": f"Bearer {key}"}
    path = path.replace("<path:model_id>", "kimi-k2.6")
    caller.http.headers.pop("authorization", None)
    sent: dict[str, Any] = {"json": GOOD.get(path)}
    if path in FORMS:
        sent = {"data": FORMS[path], "files": {"file": ("speech.wav", recording(), "audio/wav")}}
    reply = await caller.http.request(method, path, headers={**authorization, **headers}, **sent)
    error = reply.json().get("error") or {} if "json" in reply.headers["content-type"] else {}
    return reply.status_code, error.get("code") or error.get("details", {}).get("error_code")


NOTHING: Final[dict[str, list[Any]]] = {"calls": [], "charges": []}


@pytest.mark.parametrize("route", PUBLIC)
async def test_a_public_route_needs_no_key(caller: Caller, route: tuple[str, str]) -> None:
    assert await knock(caller, route, None) == (200, None)


@pytest.mark.parametrize("route", AUTHENTICATED + BILLABLE)
async def test_any_other_route_needs_a_live_key_whatever_else_is_sent(caller: Caller, route: tuple[str, str]) -> None:
    for key in (None, "cm_", new_key(), f"{caller.house.customer.key}x"):
        assert await knock(caller, route, key) == (401, "invalid_api_key")
        assert await knock(caller, route, key, **FORGED) == (401, "invalid_api_key")
    assert (caller.upstream(), spent(caller, caller.house.customer)) == ([], NOTHING)


@pytest.mark.parametrize("route", AUTHENTICATED)
async def test_an_authenticated_route_serves_its_key_and_costs_nothing(caller: Caller, route: tuple[str, str]) -> None:
    status, code = await knock(caller, route, caller.house.customer.key)
    assert (status, code) in {(200, None), (400, "missing_required_parameter"), (404, "not_found")}
    assert spent(caller, caller.house.customer) == NOTHING


@pytest.mark.parametrize("route", BILLABLE)
async def test_a_billable_route_is_refused_without_credits_and_asks_no_provider(
    caller: Caller, route: tuple[str, str]
) -> None:
    poor = another(caller, "Poor", credit_ucr=0)
    assert await knock(caller, route, poor.key) == (402, "insufficient_credits")
    assert (caller.upstream(), spent(caller, poor)) == ([], NOTHING)


@pytest.mark.parametrize("route", BILLABLE)
async def test_a_billable_route_is_refused_over_the_limit_and_asks_no_provider(
    caller: Caller, route: tuple[str, str]
) -> None:
    limited = another(caller, "Limited", rpm=1)
    assert await knock(caller, route, limited.key) == (200, None)
    assert await knock(caller, route, limited.key) == (429, "rate_limit_exceeded")
    assert len(caller.upstream()) == 1
    assert len(spent(caller, limited)["calls"]) == 1


@pytest.mark.parametrize("route", BILLABLE)
async def test_a_billable_route_needs_its_permission(caller: Caller, route: tuple[str, str]) -> None:
    narrow = another(caller, "Narrow", permissions="nothing")
    assert await knock(caller, route, narrow.key) == (403, "permission_denied")
    assert (caller.upstream(), spent(caller, narrow)) == ([], NOTHING)


@pytest.mark.parametrize("route", BILLABLE)
async def test_a_good_call_is_one_hold_and_one_settlement(caller: Caller, route: tuple[str, str]) -> None:
    customer = caller.house.customer
    assert await knock(caller, route, customer.key) == (200, None)
    books = spent(caller, customer)
    assert books["calls"] == [("posted", "completed", route[1])]
    assert len(books["charges"]) == 1
    assert len(caller.upstream()) == 1
