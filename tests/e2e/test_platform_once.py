"""An Idempotency-Key on the platform API: what was made is made once, and secrets are shown to the same member only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import trio

from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, open_caller
from tests.e2e.members import Member, add_member, session_headers

pytestmark = ON_BOTH
KEYS: Final = "/api/v1/keys"
ONCE: Final = {"idempotency-key": "make-it-once"}


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url) as opened:
        opened.http.headers.pop("authorization")
        yield opened


async def make(caller: Caller, member: Member, name: str = "mobile", **headers: str) -> Any:
    sent = {**session_headers(caller.house, member), **ONCE, **headers}
    return await caller.http.post(KEYS, json={"name": name}, headers=sent)


async def test_a_repeat_is_answered_with_the_same_key_and_makes_no_second(caller: Caller) -> None:
    owner = add_member(caller.house)
    first, again = [await make(caller, owner) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert ("idempotent-replay" in first.headers, again.headers["idempotent-replay"]) == (False, "true")
    assert caller.rows("SELECT COUNT(*) FROM api_keys WHERE name = 'mobile'") == [(1,)]


async def test_what_is_shown_once_is_in_no_column_in_clear(caller: Caller) -> None:
    made = (await make(caller, add_member(caller.house))).json()
    assert made["key"].startswith("cm_")
    assert made["key"] not in repr(caller.rows("SELECT * FROM idempotency_keys"))


async def test_another_body_is_a_conflict(caller: Caller) -> None:
    owner = add_member(caller.house)
    await make(caller, owner)
    reply = await make(caller, owner, "desktop")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert reply.headers["x-should-retry"] == "false"


async def test_another_member_is_not_shown_what_the_first_made(caller: Caller) -> None:
    first = (await make(caller, add_member(caller.house))).json()
    reply = await make(caller, add_member(caller.house, "admin"))
    assert reply.status_code == 409
    assert first["key"] not in reply.text


async def test_of_twenty_at_once_one_makes_it(caller: Caller) -> None:
    owner = add_member(caller.house)
    replies: list[Any] = []

    async def one() -> None:
        replies.append(await make(caller, owner))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert {reply.status_code for reply in replies} <= {201, 409}
    assert caller.rows("SELECT COUNT(*) FROM api_keys WHERE name = 'mobile'") == [(1,)]
    codes = {reply.json()["error"]["code"] for reply in replies if reply.status_code == 409}
    assert codes <= {"idempotency_in_progress"}
