"""A page on any origin can call the API and read every reply (compat.md section 6, rows O1 to O4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.core.identity import now_us
from tests.e2e.calling import CHAT, Caller, change, open_caller, question

PAGE = "https://shop.example"
DASHBOARD = "https://app.callmissed.example"
ROUTES = (CHAT, "/v1/models", "/v1/models/openai/gpt-5.4", "/v1/credits", "/v1/generation", "/api/v1/models/access")
HEADERS = (
    *("authorization", "content-type", "x-api-key", "anthropic-version", "anthropic-beta"),
    *("anthropic-dangerous-direct-browser-access", "openai-organization", "openai-project", "openai-beta"),
    *("idempotency-key", "x-stainless-lang", "x-stainless-retry-count", "x-stainless-runtime-version"),
)
#: What the browser builds of the OpenAI and the Anthropic SDK ask for.
SDK_HEADERS = (
    "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version",
    "anthropic-dangerous-direct-browser-access,anthropic-version,content-type,x-api-key,x-stainless-arch,"
    "x-stainless-lang,x-stainless-os,x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,"
    "x-stainless-runtime-version,x-stainless-timeout",
)
EXPOSED = {
    *("x-request-id", "request-id", "x-generation-id", "x-credits-balance", "x-cm-dropped-params", "x-cm-provider"),
    *("x-cm-attempts", "idempotent-replay", "retry-after", "retry-after-ms", "x-should-retry", "openai-processing-ms"),
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    *("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"),
    "anthropic-ratelimit-requests-reset",
}


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with open_caller(tmp_path, dashboard_origin=DASHBOARD, body_cap_bytes=2000) as caller:
        yield caller


def listed(reply: httpx2.Response, name: str) -> set[str]:
    return {word.strip().lower() for word in reply.headers[name].split(",")}


async def preflight(caller: Caller, path: str, asked: str, origin: str = PAGE) -> httpx2.Response:
    """As a browser sends it: without a key."""
    headers = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": asked}
    async with httpx2.AsyncClient(base_url=caller.house.url, verify=False) as browser:
        return await browser.options(path, headers=headers)


@pytest.mark.parametrize("path", ROUTES)
async def test_a_preflight_is_answered_without_a_key(caller: Caller, path: str) -> None:
    reply = await preflight(caller, path, "authorization,content-type")
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["access-control-allow-origin"] in ("*", PAGE)
    assert {"GET", "POST"} <= set(reply.headers["access-control-allow-methods"].replace(" ", "").split(","))
    assert reply.headers["access-control-max-age"] == "600"
    assert reply.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in reply.headers


async def test_cookies_are_for_the_dashboard_alone(caller: Caller) -> None:
    granted = await preflight(caller, CHAT, "content-type", DASHBOARD)
    assert granted.headers["access-control-allow-origin"] == DASHBOARD
    assert granted.headers["access-control-allow-credentials"] == "true"
    for origin in (PAGE, DASHBOARD + ".evil.example", DASHBOARD.upper(), "null", DASHBOARD + ":443"):
        refused = await preflight(caller, CHAT, "content-type", origin)
        assert "access-control-allow-credentials" not in refused.headers


async def test_each_header_of_the_sdks_is_allowed_by_name(caller: Caller) -> None:
    for asked in (*HEADERS, *SDK_HEADERS, ",".join(HEADERS)):
        allowed = listed(await preflight(caller, CHAT, asked), "access-control-allow-headers")
        assert set(asked.split(",")) <= allowed
        assert "*" not in allowed


async def test_other_headers_are_not_allowed(caller: Caller) -> None:
    reply = await preflight(caller, CHAT, "authorization, x-forwarded-for, cookie")
    assert listed(reply, "access-control-allow-headers") == {"authorization"}


async def test_a_page_may_read_every_header_that_steers_a_client(caller: Caller) -> None:
    reply = await caller.post(question("[tokens=1]"), origin=PAGE)
    assert listed(reply, "access-control-expose-headers") == EXPOSED


async def test_errors_and_streams_can_be_read_by_a_page_too(caller: Caller) -> None:
    replies = {
        401: await caller.post(question(), origin=PAGE, authorization="Bearer no"),
        404: await caller.post(question(model="nope"), origin=PAGE),
        405: await caller.http.get(CHAT, headers={"origin": PAGE}),
        413: await caller.post(question("x" * 3000), origin=PAGE),
        502: await caller.post(question("[mock=5xx]"), origin=PAGE),
        503: await caller.post(question("[mock=401]", "openai/gpt-5.4"), origin=PAGE),
    }
    tenant = caller.house.customer.tenant_id
    change(caller.house, "UPDATE tenants SET balance = 0 WHERE id = ?", tenant)
    replies[402] = await caller.post(question(), origin=PAGE)
    change(caller.house, "UPDATE tenants SET balance = 1000000000000 WHERE id = ?", tenant)
    change(caller.house, "UPDATE api_keys SET tat = ? WHERE tenant_id = ?", now_us() + 90_000_000, tenant)
    replies[429] = await caller.post(question(), origin=PAGE)
    change(caller.house, "UPDATE api_keys SET tat = 0 WHERE tenant_id = ?", tenant)
    for status, reply in replies.items():
        assert reply.status_code == status
        assert reply.headers["access-control-allow-origin"] == "*"
        assert listed(reply, "access-control-expose-headers") == EXPOSED
    async with caller.stream(question("[tokens=1]"), origin=PAGE) as stream:
        await stream.rest()
    assert dict(stream.headers)["access-control-allow-origin"] == "*"
    assert dict(stream.headers)["access-control-expose-headers"].count("x-generation-id") == 1


async def test_a_keys_domains_are_checked_on_the_real_request(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"allowed_domains": "shop.example, https://pay.example:8443"}) as caller:
        for origin in (PAGE, "https://shop.example:444", "https://pay.example:8443"):
            assert (await caller.post(question("[tokens=1]"), origin=origin)).status_code == 200, origin
        for origin in ("https://shop.example.evil.example", "https://evil.example", "null", "https://pay.example"):
            refused = await caller.post(question("[tokens=1]"), origin=origin)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "domain_not_allowed"), origin
            assert refused.headers["access-control-allow-origin"] == "*"
        assert (await caller.post(question("[tokens=1]"))).status_code == 200
        assert caller.books().calls == 4
