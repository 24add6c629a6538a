"""Accounts over HTTP as a browser uses them: cookies, origins, sessions, and what a way in says to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import pytest

from app.core.identity import now_us
from scripts.seeding.write import hash_password
from tests.databases import ON_BOTH, elsewhere, open_view
from tests.e2e.browser import AUTH, PASSWORD, Browser, good, open_browser, refusal
from tests.e2e.calling import Json
from tests.house import House, open_house

NOBODY: Final = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url, trusted_proxies="127.0.0.1") as opened:
        yield opened


@pytest.fixture
async def browser(house: House) -> AsyncIterator[Browser]:
    async with open_browser(house.url) as opened:
        yield opened


@ON_BOTH
async def test_an_organisation_is_founded_and_its_owner_logs_in_out_and_in_again(browser: Browser) -> None:
    account = await browser.register("Jo@Acme.Example", "Acme 2")
    assert {name: account["user"][name] for name in ("email", "full_name", "phone_number", "role", "is_active")} == {
        "email": "jo@acme.example",
        "full_name": "Jo",
        "phone_number": None,
        "role": "owner",
        "is_active": True,
    }
    assert (account["tenant"]["name"], account["tenant"]["plan"]) == ("Acme 2", "free")
    assert good(await browser.me()) == account
    reply = await browser.ask("POST", f"{AUTH}/logout")
    assert (reply.status_code, reply.content, browser.token) == (204, b"", "")
    assert refusal(await browser.me()) == (401, "session_required", None)
    assert good(await browser.login()) == account
    assert good(await browser.me()) == account


async def test_the_cookie_is_out_of_reach_of_pages_and_of_other_sites(house: House, browser: Browser) -> None:
    await browser.register()
    reply = await browser.login()
    name, *attributes = reply.headers["set-cookie"].split("; ")
    assert name == f"cm_session={browser.token}"
    assert attributes == ["Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Lax"]
    assert reply.headers["cache-control"] == "no-store"
    assert browser.token
    assert browser.token not in reply.text
    origin = "https://gateway.example"
    login = {"email": "jo@acme.example", "password": PASSWORD}
    async with open_browser(house.url, origin) as elsewhere:
        reply = await elsewhere.ask("POST", f"{AUTH}/login", login, host="gateway.example")
    assert reply.headers["set-cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")


async def test_a_session_that_is_used_is_renewed_in_the_browser_too(browser: Browser) -> None:
    await browser.register()
    reply = await browser.me()
    assert reply.headers["set-cookie"].startswith(f"cm_session={browser.token}; Path=/; Max-Age=604800")


async def test_a_login_answers_alike_for_an_unknown_address_and_a_wrong_password(browser: Browser) -> None:
    await browser.register()
    await browser.ask("POST", f"{AUTH}/logout")
    replies = [await browser.login("jo@acme.example", "not the password"), await browser.login("nobody@acme.example")]
    assert {(reply.status_code, reply.content) for reply in replies} == {(401, replies[0].content)}
    assert {name for reply in replies for name in reply.headers} & {"set-cookie", "retry-after"} == set()


@pytest.mark.parametrize("path", ["login", "register", "logout", "invitations/accept"])
async def test_a_page_of_another_origin_logs_nobody_in_or_out(house: House, browser: Browser, path: str) -> None:
    await browser.register()
    bodies: dict[str, Json] = {
        "login": {"email": "jo@acme.example", "password": PASSWORD},
        "register": {"email": "e@e.example", "password": PASSWORD, "full_name": "E", "organisation": "Evil"},
        "invitations/accept": {"token": "t", "password": PASSWORD},
    }
    for origin in ("https://evil.example", "null", house.url.replace("http:", "ftp:") + "0"):
        reply = await browser.ask("POST", f"{AUTH}/{path}", bodies.get(path), origin=origin)
        assert refusal(reply) == (403, "csrf_failed", None)
        assert "set-cookie" not in reply.headers
    browser.origin = None
    assert refusal(await browser.ask("POST", f"{AUTH}/{path}", bodies.get(path))) == (403, "csrf_failed", None)
    assert (await browser.me()).status_code == 200


async def test_a_script_without_cookies_logs_in_without_an_origin(house: House, browser: Browser) -> None:
    account = await browser.register()
    async with open_browser(house.url, None) as script:
        assert good(await script.login()) == account


async def test_a_token_that_somebody_planted_never_becomes_a_session(house: House, browser: Browser) -> None:
    planted = "planted-by-somebody-else"
    browser.token = planted
    await browser.register()
    async with open_browser(house.url) as victim, open_browser(house.url) as attacker:
        victim.token = attacker.token = planted
        good(await victim.login())
        assert victim.token not in {planted, browser.token}
        assert browser.token != planted
        assert refusal(await attacker.me()) == (401, "token_expired", None)


async def test_a_login_replaces_the_session_that_was_there(house: House, browser: Browser) -> None:
    await browser.register()
    before = browser.token
    good(await browser.login())
    assert browser.token != before
    async with open_browser(house.url) as thief:
        thief.token = before
        assert refusal(await thief.me()) == (401, "token_expired", None)


async def test_sessions_are_listed_and_ended_one_by_one_or_all_others(house: House, browser: Browser) -> None:
    await browser.register()
    async with open_browser(house.url) as phone, open_browser(house.url) as tablet:
        for each, client in ((phone, "phone"), (tablet, "tablet")):
            each.http.headers["user-agent"] = client
            good(await each.login())
        listed = good(await browser.ask("GET", f"{AUTH}/sessions"))["data"]
        assert [(each["client"], each["current"]) for each in listed[:2]] == [("tablet", False), ("phone", False)]
        assert [each["current"] for each in listed] == [False, False, True]
        assert {each["address"] for each in listed} == {"127.0.0.1"}
        reply = await browser.ask("DELETE", f"{AUTH}/sessions/{listed[1]['id']}")
        assert (reply.status_code, (await phone.me()).status_code, (await tablet.me()).status_code) == (204, 401, 200)
        assert (await browser.ask("DELETE", f"{AUTH}/sessions")).status_code == 204
        assert ((await tablet.me()).status_code, (await browser.me()).status_code) == (401, 200)
        assert len(good(await browser.ask("GET", f"{AUTH}/sessions"))["data"]) == 1


async def test_a_session_of_somebody_else_is_as_missing_as_none(house: House, browser: Browser) -> None:
    await browser.register()
    async with open_browser(house.url) as stranger:
        await stranger.register("bo@bolt.example", "Bolt")
        (theirs,) = good(await stranger.ask("GET", f"{AUTH}/sessions"))["data"]
        replies = [await browser.ask("DELETE", f"{AUTH}/sessions/{each}") for each in (theirs["id"], NOBODY)]
        assert {(reply.status_code, reply.content) for reply in replies} == {(404, replies[0].content)}
        assert (await stranger.me()).status_code == 200


async def test_what_is_deleted_in_the_database_is_over_at_once(house: House, browser: Browser) -> None:
    await browser.register()
    elsewhere(house.settings.database_url, lambda db: db.do("UPDATE sessions SET expires_at = ?", now_us()))
    assert refusal(await browser.me()) == (401, "token_expired", None)
    good(await browser.login())
    elsewhere(house.settings.database_url, lambda db: db.do("DELETE FROM sessions"))
    assert refusal(await browser.me()) == (401, "token_expired", None)


async def test_one_changes_ones_name_and_number(browser: Browser) -> None:
    account = await browser.register()
    change = partial(browser.ask, "PATCH", f"{AUTH}/me")
    changed = good(await change({"full_name": " Jo  Rao ", "phone_number": "+91 98765 43210"}))
    user = {**account["user"], "full_name": "Jo Rao", "phone_number": "+91 98765 43210"}
    assert changed == {**account, "user": {**user, "updated_at": changed["user"]["updated_at"]}}
    assert good(await change({"phone_number": ""}))["user"]["phone_number"] is None
    assert good(await change({}))["user"]["full_name"] == "Jo Rao"


async def test_a_password_is_changed_only_by_who_knows_the_old_one(house: House, browser: Browser) -> None:
    await browser.register()
    change = partial(browser.ask, "PATCH", f"{AUTH}/me")
    new = "another long sentence"
    assert refusal(await change({"password": new})) == (400, "missing_required_parameter", "current_password")
    wrong = {"password": new, "current_password": "not the password"}
    assert refusal(await change(wrong)) == (400, "invalid_value", "current_password")
    async with open_browser(house.url) as other:
        good(await other.login())
        good(await change({"password": new, "current_password": PASSWORD}))
        assert ((await other.me()).status_code, (await browser.me()).status_code) == (401, 200)
        assert [(await other.login(password=each)).status_code for each in (PASSWORD, new)] == [401, 200]


WRONG: Final[list[tuple[Json, str, str]]] = [
    ({"email": "jo"}, "invalid_value", "email"),
    ({"email": "a" * 250 + "@b.cd"}, "invalid_value", "email"),
    ({"email": 7}, "invalid_type", "email"),
    ({"password": "too short"}, "invalid_value", "password"),
    ({"password": "a1" * 129}, "invalid_value", "password"),
    ({"password": "password123"}, "invalid_value", "password"),
    ({"email": "jo.doe@acme.example", "password": "Jo.Doe@Acme.Example"}, "invalid_value", "password"),
    ({"full_name": "\t \n"}, "invalid_value", "full_name"),
    ({"organisation": ""}, "invalid_value", "organisation"),
    ({"organisation": "a" * 101}, "invalid_value", "organisation"),
    ({"organisation": "a\0b"}, "invalid_value", "organisation"),
    ({"full_name": None}, "invalid_type", "full_name"),
]


async def test_what_a_registration_cannot_have_is_refused_by_name(house: House, browser: Browser) -> None:
    good = {"email": "jo@acme.example", "password": PASSWORD, "full_name": "Jo", "organisation": "Acme 2"}
    for number, (fields, code, param) in enumerate(WRONG):
        reply = await browser.ask("POST", f"{AUTH}/register", {**good, **fields}, x_forwarded_for=f"203.0.113.{number}")
        assert refusal(reply) == (400, code, param), fields
    with open_view(house.settings.database_url) as db:
        assert db.all("SELECT COUNT(*) FROM users") == [(0,)]


async def test_a_taken_address_and_a_taken_name_are_conflicts(house: House, browser: Browser) -> None:
    await browser.register()
    async with open_browser(house.url) as another:
        body = {"email": "al@acme.example", "password": PASSWORD, "full_name": "Al", "organisation": "Acme 2"}
        assert refusal(await another.ask("POST", f"{AUTH}/register", body)) == (409, "conflict", "organisation")
        body = {**body, "email": "JO@acme.example", "organisation": "Acme 3"}
        assert refusal(await another.ask("POST", f"{AUTH}/register", body)) == (409, "conflict", "email")


async def test_tries_count_by_the_address_that_the_proxy_names(house: House, browser: Browser) -> None:
    def asker(address: str) -> str:
        return f"198.51.100.99, {address}"

    async def attempt(number: int, address: str) -> int:
        body = {"email": f"jo{number}@acme.example", "password": PASSWORD}
        return (await browser.ask("POST", f"{AUTH}/login", body, x_forwarded_for=asker(address))).status_code

    assert [await attempt(number, "203.0.113.1") for number in range(12)] == [401] * 10 + [429] * 2
    assert await attempt(0, "203.0.113.2") == 401
    reply = await browser.ask(
        "POST", f"{AUTH}/login", {"email": "a@b.c", "password": "x"}, x_forwarded_for=asker("203.0.113.1")
    )
    assert refusal(reply) == (429, "rate_limit_exceeded", None)
    assert 1 <= int(reply.headers["retry-after"]) <= 6


async def test_a_gateway_that_is_closed_to_strangers_founds_nothing(database_url: str) -> None:
    async with open_house(database_url, registration="closed") as house, open_browser(house.url) as browser:
        body = {"email": "jo@acme.example", "password": PASSWORD, "full_name": "Jo", "organisation": "Acme 2"}
        assert refusal(await browser.ask("POST", f"{AUTH}/register", body)) == (403, "permission_denied", None)


async def test_a_seeded_member_logs_in_with_the_seeded_password(house: House, browser: Browser) -> None:
    digest = await hash_password("seeded by hand")
    elsewhere(
        house.settings.database_url,
        lambda db: db.do(
            "INSERT INTO users (id, tenant_id, email, role, password_hash, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            *("u1", house.customer.tenant_id, "admin@demo.example", "owner", digest, 1),
        ),
    )
    assert good(await browser.login("admin@demo.example", "seeded by hand"))["user"]["role"] == "owner"


async def test_no_word_of_a_way_in_reaches_the_database_in_clear(house: House, browser: Browser) -> None:
    await browser.register()
    invited = await browser.invite("al@acme.example")
    await browser.login("mistyped@acme.example", "typed by mistake")
    with open_view(house.settings.database_url) as db:
        kept = repr([db.all(f"SELECT * FROM {name}") for name in ("users", "sessions", "invitations", "throttles")])  # noqa: S608
    for secret in (PASSWORD, browser.token, invited["invitation"]["token"], "mistyped", "typed by mistake"):
        assert secret not in kept
