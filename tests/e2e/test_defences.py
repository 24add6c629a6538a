"""What an attacker sends to the platform API: costly bodies, origins, hosts; and what of all that reaches a log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from app.core.idempotency import fingerprint
from tests.databases import open_view
from tests.e2e.browser import AUTH, PASSWORD, Browser, good, open_browser, refusal
from tests.e2e.calling import Json
from tests.house import House, open_house

LOGIN: Final = {"email": "jo@acme.example", "password": PASSWORD}


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url) as opened:
        yield opened


@pytest.fixture
async def browser(house: House) -> AsyncIterator[Browser]:
    async with open_browser(house.url) as opened:
        yield opened


async def test_a_body_larger_than_any_that_makes_sense_is_not_even_read(browser: Browser) -> None:
    reply = await browser.ask("POST", f"{AUTH}/login", {**LOGIN, "more": [0] * 20_000})
    assert refusal(reply) == (413, "request_too_large", None)
    await browser.register()
    reply = await browser.ask("POST", "/api/v1/bots", {"type": "ivr", "name": "A", "more": [0] * 140_000})
    assert refusal(reply) == (413, "request_too_large", None)


async def test_the_longest_prompt_with_every_character_escaped_is_not_too_large(browser: Browser) -> None:
    await browser.register()
    bot = {"type": "ivr", "name": "A", "system_prompt": "\N{WATER BUFFALO}" * 20_000}
    headers = {"origin": browser.origin or "", "content-type": "application/json"}
    reply = await browser.http.post("/api/v1/bots", content=json.dumps(bot), headers=headers)
    assert good(reply, 201)["system_prompt"] == bot["system_prompt"]


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "null", "", "HTTP://"])
async def test_an_origin_that_is_none_is_refused_as_another_one_is(browser: Browser, origin: str) -> None:
    await browser.register()
    for host in (browser.http.base_url.netloc.decode("ascii"), ""):
        reply = await browser.ask("POST", f"{AUTH}/login", LOGIN, origin=origin, host=host)
        assert refusal(reply) == (403, "csrf_failed", None)


async def test_behind_a_proxy_that_hides_the_host_the_cookie_still_wants_tls(database_url: str) -> None:
    origin = "https://app.acme.example"
    async with open_house(database_url, dashboard_origin=origin) as house, open_browser(house.url, origin) as browser:
        body = {**LOGIN, "full_name": "Jo", "organisation": "Acme 2"}
        reply = await browser.ask("POST", f"{AUTH}/register", body, host="127.0.0.1:8000")
    assert reply.headers["set-cookie"].endswith("; Secure")


async def test_a_password_under_an_idempotency_key_leaves_nothing_that_is_quick_to_guess_it_by(
    house: House, browser: Browser
) -> None:
    account = await browser.register()
    body: Json = {"password": "another long sentence", "current_password": PASSWORD}
    request = browser.http.build_request("PATCH", f"{AUTH}/me", json=body)
    good(await browser.ask("PATCH", f"{AUTH}/me", body, idempotency_key="once"))
    guessed = fingerprint("PATCH", f"{AUTH}/me", b"", account["user"]["id"].encode(), request.content)
    with open_view(house.settings.database_url) as db:
        ((kept,),) = db.all("SELECT fingerprint FROM idempotency_keys")
    assert kept != guessed
    repeat = await browser.ask("PATCH", f"{AUTH}/me", body, idempotency_key="once")
    assert (repeat.status_code, repeat.headers["idempotent-replay"]) == (200, "true")


async def test_no_secret_of_the_platform_reaches_the_log(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "access.log"
    settings: dict[str, Any] = {"access_log": True, "access_log_file": str(log), "log_level": "debug"}
    async with open_house(database_url, **settings) as house, open_browser(house.url) as browser:
        await browser.register()
        invitation = (await browser.invite("al@acme.example"))["invitation"]
        await browser.http.get(f"/invitations/{invitation['token']}")
        key = good(await browser.ask("POST", "/api/v1/keys", {"name": "a"}, idempotency_key="canary-idem"), 201)
        hook = {"url": "https://hooks.example/canary-path", "events": ["*"]}
        webhook = good(await browser.ask("POST", "/api/v1/webhooks", hook), 201)
        await browser.ask("PATCH", f"{AUTH}/me", {"password": "canary-password", "current_password": PASSWORD})
        await browser.ask("POST", f"{AUTH}/login?password=canary-query", LOGIN)
        token = browser.token
    written = log.read_text() + "".join(capfd.readouterr())
    assert "/invitations/" in written
    for secret in (
        *(PASSWORD, "canary", "jo@acme.example", "al@acme.example", token),
        *(invitation["token"], key["key"], webhook["secret"]),
    ):
        assert secret not in written
