"""Every operation of the platform API asks who it is for, whatever it does then; nobody else learns a thing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import MagicMock

import pytest

from app.api.app import PLATFORM
from app.api.operation import Operation
from app.core.identity import ROLES, new_key
from tests.e2e.calling import Caller, change, elsewhere, open_caller
from tests.e2e.members import Member, add_member, session_headers
from tests.house import add_customer

OPERATIONS: Final = [operation for area in PLATFORM for operation in area(MagicMock()).operations]
GUARDED: Final = [each for each in OPERATIONS if each.rules.entry != "public"]
NOBODY: Final = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with open_caller(tmp_path) as opened:
        opened.http.headers.pop("authorization")
        yield opened


async def knock(caller: Caller, operation: Operation, headers: dict[str, str]) -> tuple[int, str | None]:
    """The status and code of a request without a body, to something that is not there."""
    path = re.sub("<[^>]+>", NOBODY, operation.path)
    reply = await caller.http.request(operation.method, path, headers=headers)
    body: Any = reply.json() if "json" in reply.headers.get("content-type", "") else {}
    error = body.get("error") if isinstance(body, dict) else None
    return reply.status_code, error["code"] if error else None


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


async def test_without_a_credential_nothing_opens(caller: Caller) -> None:
    for each in GUARDED:
        expected = "session_required" if each.rules.entry == "session" else "invalid_api_key"
        assert await knock(caller, each, {}) == (401, expected), named(each)


async def test_a_key_that_is_nobodys_opens_nothing(caller: Caller) -> None:
    for each in GUARDED:
        for key in (new_key(), "cm_short", "sk-" + "a" * 40):
            assert await knock(caller, each, {"authorization": f"Bearer {key}"}) == (401, "invalid_api_key"), named(
                each
            )


async def test_a_key_without_the_scope_is_told_which_one_it_lacks(caller: Caller) -> None:
    for each in GUARDED:
        expected = (401, "session_required") if each.rules.entry == "session" else (403, "permission_denied")
        assert await knock(caller, each, caller.house.headers) == expected, named(each)


async def test_a_key_with_every_scope_but_the_one_is_refused(caller: Caller) -> None:
    scopes = {each.rules.scope for each in OPERATIONS if each.rules.scope}
    for each in (one for one in GUARDED if one.rules.scope):
        others = ",".join(scopes - {each.rules.scope, each.rules.or_scope})
        name = f"all but {each.rules.scope} {each.method} {each.path}"
        who = elsewhere(caller.house, partial(add_customer, name=name, scopes=others))
        headers = {"authorization": f"Bearer {who.key}"}
        assert await knock(caller, each, headers) == (403, "permission_denied"), named(each)


async def test_a_role_that_is_too_low_is_refused(caller: Caller) -> None:
    members = {role: add_member(caller.house, role) for role in ROLES}
    for each in GUARDED:
        for role in ROLES[ROLES.index(each.rules.least) + 1 :]:
            headers = session_headers(caller.house, members[role])
            assert await knock(caller, each, headers) == (403, "role_required"), f"{named(each)} by {role}"


@pytest.mark.parametrize("origin", [None, "", "null", "https://evil.example", "http://127.0.0.1:1"])
async def test_a_page_of_another_origin_changes_nothing_with_the_cookie(caller: Caller, origin: str | None) -> None:
    cookie = {"cookie": session_headers(caller.house, add_member(caller.house))["cookie"]}
    for each in (one for one in GUARDED if one.method != "GET"):
        headers = cookie if origin is None else {**cookie, "origin": origin}
        assert await knock(caller, each, headers) == (403, "csrf_failed"), named(each)


async def test_a_session_that_is_over_opens_nothing(caller: Caller) -> None:
    member = add_member(caller.house)
    change(caller.house, "UPDATE sessions SET expires_at = 1 WHERE user_id = ?", member.user_id)
    forged = Member(member.tenant_id, member.user_id, member.email, "f" * 43)
    for each in GUARDED:
        for who in (member, forged):
            assert await knock(caller, each, session_headers(caller.house, who)) == (401, "token_expired"), named(each)


async def test_a_suspended_account_opens_nothing(caller: Caller) -> None:
    member = add_member(caller.house)
    change(caller.house, "UPDATE tenants SET status = 'suspended' WHERE id = ?", member.tenant_id)
    for each in GUARDED:
        headers = session_headers(caller.house, member)
        assert await knock(caller, each, headers) == (403, "account_inactive"), named(each)


async def test_what_is_not_there_is_missing_for_the_owner_too(caller: Caller) -> None:
    headers = session_headers(caller.house, add_member(caller.house))
    for each in (one for one in GUARDED if "<" in one.path and one.body is None and one.rules.status != 501):
        status, code = await knock(caller, each, headers)
        assert (status, code) in {(404, "not_found"), (501, "not_implemented")}, named(each)
