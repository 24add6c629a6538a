"""Every route of the gateway declares what it is, and a billable one authenticates, limits, holds and settles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Literal
from unittest.mock import MagicMock

import pytest
from quart import Quart

from app.api.app import PLATFORM, create_app
from app.api.channel_hooks import HOOKS, META
from app.api.messages import PREFIXES
from app.api.status import ABSENT, METHODS
from app.core.identity import new_key
from tests.databases import open_view
from tests.e2e.calling import Caller, elsewhere, open_caller, question
from tests.e2e.speaking import recording
from tests.house import Customer, add_customer

#: "absent": documented, without a backend here (tests/e2e/test_status.py).
#: "operator": opened by a secret of the installation's own, and not there without one (tests/observability).
#: "signed": opened by the signature of a link and by no key (tests/e2e/test_image_history.py, test_channel_media.py).
#: "provider": opened by the signature of Meta or Twilio, and not there without a secret to check it with
#: (tests/e2e/test_whatsapp_hooks.py).
Policy = Literal["absent", "public", "authenticated", "billable", "operator", "signed", "provider"]
ROUTES: Final[dict[tuple[str, str], Policy]] = {
    ("GET", "/healthz"): "public",
    ("GET", "/readyz"): "public",
    ("GET", "/metrics"): "operator",
    ("GET", "/openapi.json"): "public",
    ("GET", "/docs"): "public",
    ("GET", "/api/v1/models"): "public",
    ("GET", "/api/v1/models/<path:model_id>"): "public",
    ("GET", "/api/v1/models/access"): "public",
    **{(method, f"{path}{rest}"): "absent" for path in ABSENT for rest in ("", "/<path:rest>") for method in METHODS},
    ("GET", "/v1/models"): "authenticated",
    ("GET", "/v1/models/<path:model_id>"): "authenticated",
    ("GET", "/v1/credits"): "authenticated",
    ("GET", "/v1/generation"): "authenticated",
    ("POST", "/v1/chat/completions"): "billable",
    ("POST", "/v1/audio/transcriptions"): "billable",
    ("POST", "/v1/audio/translations"): "billable",
    ("POST", "/v1/audio/speech"): "billable",
    ("POST", "/v1/search"): "billable",
    ("POST", "/v1/images/generations"): "billable",
    ("GET", "/v1/images/history"): "authenticated",
    ("GET", "/v1/images/files/<path:token>"): "signed",
    ("GET", "/v1/channels/media/<path:token>"): "signed",
    **{("POST", hook): "provider" for hook in HOOKS},
    **{("GET", hook): "provider" for hook in HOOKS if hook.startswith(META)},
    ("POST", "/v1/embeddings"): "billable",
    ("POST", "/v1/responses"): "billable",
    ("GET", "/v1/responses/<response_id>"): "authenticated",
    ("DELETE", "/v1/responses/<response_id>"): "authenticated",
    ("GET", "/v1/responses/<response_id>/input_items"): "authenticated",
    ("POST", "/v1/responses/<response_id>/cancel"): "authenticated",
    **{("GET", f"{twin}/models"): "authenticated" for twin in ("/v1/v1", "/anthropic/v1")},
    **{("GET", f"{twin}/models/<path:model_id>"): "authenticated" for twin in ("/v1/v1", "/anthropic/v1")},
    **{("POST", f"{prefix}/messages"): "billable" for prefix in PREFIXES},
    **{("POST", f"{prefix}/messages/count_tokens"): "authenticated" for prefix in PREFIXES},
}
#: A good request for each billable route, and for others that take one. The provider's answer is [tokens=2] long.
GOOD: Final[dict[str, dict[str, Any]]] = {
    "/v1/chat/completions": question("[tokens=2]", "kimi-k2.6", max_tokens=8),
    "/v1/audio/speech": {"model": "aura-2-en", "input": "Good morning."},
    "/v1/search": {"query": "what is trio"},
    "/v1/images/generations": {"model": "lucid-origin", "prompt": "a lamp"},
    "/v1/embeddings": {"model": "bge-m3", "input": "a lamp"},
    "/v1/responses": {"model": "kimi-k2.6", "input": "[tokens=2]", "max_output_tokens": 8},
    **{f"{prefix}/messages": question("[tokens=2]", "kimi-k2.6", max_tokens=8) for prefix in PREFIXES},
    **{f"{prefix}/messages/count_tokens": question() for prefix in PREFIXES},
}
#: The same for routes that take a recording: the fields of its form.
FORMS: Final[dict[str, dict[str, str]]] = {
    "/v1/audio/transcriptions": {"model": "nova-3"},
    "/v1/audio/translations": {"model": "saaras:v3"},
}
PUBLIC, AUTHENTICATED, BILLABLE = (
    [route for route, policy in ROUTES.items() if policy == wanted]
    for wanted in ("public", "authenticated", "billable")
)
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


def make_app() -> Quart:
    return create_app(MagicMock())


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


def another(caller: Caller, name: str, **settings: Any) -> Customer:
    """One more tenant in the house."""
    return elsewhere(caller.house, lambda db: add_customer(db, name, **settings))


def spent(caller: Caller, who: Customer) -> dict[str, list[tuple[Any, ...]]]:
    """A tenant's holds and settlements."""
    with open_view(caller.house.settings.database_url) as db:
        return {
            "calls": db.all("SELECT state, outcome, endpoint FROM calls WHERE tenant_id = ?", who.tenant_id),
            "charges": db.all(
                "SELECT e.ref FROM ledger_entries e JOIN calls c ON c.id = e.ref AND c.charge = -e.amount "
                "WHERE e.kind = 'charge' AND e.tenant_id = ?",
                who.tenant_id,
            ),
        }


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
