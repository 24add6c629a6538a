"""The team over HTTP: invited, joined, changed, switched off, removed, handed over, listed, and never shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import pytest

from app.core.times import DAY_US, read_time
from tests.databases import ON_BOTH, elsewhere
from tests.e2e.browser import AUTH, PASSWORD, USERS, Browser, good, open_browser, refusal
from tests.e2e.calling import Json
from tests.e2e.members import add_member, session_headers
from tests.house import House, open_house

NOBODY: Final = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url) as opened:
        yield opened


@pytest.fixture
async def owner(house: House) -> AsyncIterator[Browser]:
    async with open_browser(house.url) as browser:
        browser.token = add_member(house).token
        yield browser


@ON_BOTH
async def test_a_member_is_invited_joins_and_is_at_work(house: House, owner: Browser) -> None:
    invited = await owner.invite("Al@Acme.example")
    user, invitation = invited["user"], invited["invitation"]
    assert (user["email"], user["role"], user["is_active"]) == ("al@acme.example", "agent", False)
    assert invitation["url"] is None
    life_us = read_time(invitation["expires_at"], "") - read_time(user["created_at"], "")
    assert 0 <= life_us - 7 * DAY_US < 1_000_000
    async with open_browser(house.url) as al:
        assert (await al.login("al@acme.example")).status_code == 401
        accepted = {"token": invitation["token"], "password": PASSWORD}
        account = good(await al.ask("POST", f"{AUTH}/invitations/accept", accepted))
        assert account["user"] == {**user, "is_active": True, "updated_at": account["user"]["updated_at"]}
        assert account["tenant"]["id"] == house.customer.tenant_id
        assert {each["email"] for each in good(await al.ask("GET", USERS))["data"]} >= {"al@acme.example"}
        assert refusal(await owner.ask("POST", f"{AUTH}/invitations/accept", accepted)) == (404, "not_found", "token")


async def test_an_invitation_points_to_the_dashboard_where_there_is_one(database_url: str) -> None:
    async with (
        open_house(database_url, dashboard_origin="https://app.example.com") as house,
        open_browser(house.url, "https://app.example.com") as owner,
    ):
        owner.token = add_member(house).token
        invitation = (await owner.invite("al@acme.example"))["invitation"]
        assert invitation["url"] == f"https://app.example.com/invitations/{invitation['token']}"


async def test_a_weak_password_does_not_use_an_invitation_up(house: House, owner: Browser) -> None:
    token = (await owner.invite("al@acme.example"))["invitation"]["token"]
    async with open_browser(house.url) as al:
        for password in ("short", "al@acme.example", "password123"):
            reply = await al.ask("POST", f"{AUTH}/invitations/accept", {"token": token, "password": password})
            assert refusal(reply) == (400, "invalid_value", "password")
        good(await al.ask("POST", f"{AUTH}/invitations/accept", {"token": token, "password": PASSWORD}))


async def test_a_role_that_is_changed_holds_from_the_next_request(house: House, owner: Browser) -> None:
    agent = add_member(house, "agent")
    async with open_browser(house.url) as browser:
        browser.token = agent.token
        invite = {"email": "al@acme.example", "full_name": "Al", "role": "agent"}
        assert refusal(await browser.ask("POST", USERS, invite)) == (403, "role_required", None)
        good(await owner.ask("PATCH", f"{USERS}/{agent.user_id}/role", {"role": "admin"}))
        good(await browser.ask("POST", USERS, invite), 201)
        good(await owner.ask("PATCH", f"{USERS}/{agent.user_id}/role", {"role": "agent"}))
        assert refusal(await browser.ask("POST", USERS, invite)) == (403, "role_required", None)


async def test_an_organisation_is_handed_over(house: House, owner: Browser) -> None:
    heir = add_member(house, "agent")
    assert good(await owner.ask("PATCH", f"{USERS}/{heir.user_id}/role", {"role": "owner"}))["role"] == "owner"
    assert good(await owner.me())["user"]["role"] == "admin"
    reply = await owner.ask("PATCH", f"{USERS}/{heir.user_id}/role", {"role": "agent"})
    assert refusal(reply) == (403, "role_required", None)


async def test_who_is_removed_or_switched_off_is_out_at_once(house: House, owner: Browser) -> None:
    for act in (("PUT", {"is_active": False}), ("DELETE", None)):
        member = add_member(house, "admin")
        async with open_browser(house.url) as browser:
            browser.token = member.token
            assert (await browser.me()).status_code == 200
            method, body = act
            assert (await owner.ask(method, f"{USERS}/{member.user_id}", body)).status_code in (200, 204)
            assert refusal(await browser.me()) == (401, "token_expired", None)


async def test_a_list_holds_every_member_once_while_more_join(house: House, owner: Browser) -> None:
    there = {add_member(house, "agent").email for _ in range(6)}
    seen: list[str] = []
    cursor = ""
    while True:
        query = f"?limit=2&before={cursor}" if cursor else "?limit=2"
        page = good(await owner.ask("GET", USERS + query))
        seen += [each["email"] for each in page["data"]]
        add_member(house, "agent")
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert there <= set(seen)
    assert len(seen) == len(set(seen)) == 7


async def test_what_an_invitation_cannot_have_is_refused_by_name(owner: Browser) -> None:
    wrong: list[tuple[Json, str, str]] = [
        ({"role": "owner"}, "invalid_value", "role"),
        ({"email": "no address"}, "invalid_value", "email"),
        ({"full_name": ""}, "invalid_value", "full_name"),
        ({"role": None}, "invalid_type", "role"),
    ]
    for fields, code, param in wrong:
        body = {"email": "al@acme.example", "full_name": "Al", "role": "agent", **fields}
        assert refusal(await owner.ask("POST", USERS, body)) == (400, code, param), fields


async def test_a_member_of_another_organisation_is_as_missing_as_none(house: House, owner: Browser) -> None:
    async with AsyncExitStack() as stack:
        stranger = await stack.enter_async_context(open_browser(house.url))
        account = await stranger.register("bo@bolt.example", "Bolt")
        theirs = account["user"]["id"]
        for method, path, body in (
            ("PUT", "", {"full_name": "Mine"}),
            ("DELETE", "", None),
            ("PATCH", "/role", {"role": "admin"}),
            ("POST", "/invitation", None),
        ):
            replies = [await owner.ask(method, f"{USERS}/{each}{path}", body) for each in (theirs, NOBODY, "x")]
            assert {(reply.status_code, reply.content) for reply in replies} == {(404, replies[0].content)}
        assert good(await stranger.me()) == account


async def test_a_key_has_no_team_and_no_account(house: House, owner: Browser) -> None:
    scoped = "UPDATE api_keys SET scopes = '*'"
    elsewhere(house.settings.database_url, lambda db: db.do(scoped))
    cookie = session_headers(house, add_member(house, "agent"))["cookie"]
    async with open_browser(house.url, None) as script:
        for path in (USERS, f"{AUTH}/me", f"{AUTH}/sessions"):
            for headers in (house.headers, {**house.headers, "cookie": cookie}):
                assert refusal(await script.ask("GET", path, **headers)) == (401, "session_required", None)
