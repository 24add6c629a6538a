"""The table of roles (spec.md section 16): what each operation of the platform is there, and who may do it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from unittest.mock import MagicMock

import pytest

from app.api.app import PLATFORM
from app.api.operation import Operation
from app.core.identity import ROLES, Role
from tests.e2e.calling import Caller, open_caller
from tests.e2e.members import add_member, session_headers

#: The least role for each row of the table, and for what everybody does with themselves.
ACTIONS: Final[dict[str, Role]] = {
    "read own tenant": "agent",
    "handle conversations": "agent",
    "build": "admin",
    "keys": "admin",
    "see usage, transactions, invoices": "admin",
    "budget, top-up, plan": "admin",
    "invite, edit, remove members": "admin",
    "grant or change a role": "owner",
    "own account": "agent",
}
#: Which row an operation belongs to: the first of these that its method and path begin with.
ROWS: Final[tuple[tuple[str, str], ...]] = (
    (r"\w+ /api/v1/auth/", "own account"),
    (r"PATCH /api/v1/users/<user_id>/role", "grant or change a role"),
    (r"GET /api/v1/(users|bots|conversations|knowledge|whatsapp/messages)\b", "read own tenant"),
    (r"POST /api/v1/whatsapp/messages/<message_id>/resend", "build"),
    (r"POST /api/v1/whatsapp/(messages|template|media|interactive)", "handle conversations"),
    (r"\w+ /api/v1/(whatsapp/numbers|dead-letters)\b", "build"),
    (r"POST /api/v1/knowledge/search", "read own tenant"),
    (r"GET /api/v1/credits/(balance|packs|budget)", "read own tenant"),
    (r"\w+ /api/v1/users\b", "invite, edit, remove members"),
    (r"\w+ /api/v1/conversations/", "handle conversations"),
    (r"\w+ /api/v1/(bots|knowledge|webhooks|settings)\b", "build"),
    (r"\w+ /api/v1/keys\b", "keys"),
    (r"GET /(api/)?v1/(usage/|credits/transactions|invoices)", "see usage, transactions, invoices"),
    (r"\w+ /api/v1/(credits/budget|payments|plan)", "budget, top-up, plan"),
    (r"POST /api/v1/analytics/calls/", "handle conversations"),
)
OPERATIONS: Final = [each for area in PLATFORM for each in area(MagicMock()).operations if not each.rules.public]
NOBODY: Final = "00000000-0000-7000-8000-000000000000"


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def row_of(operation: Operation) -> str | None:
    return next((row for pattern, row in ROWS if re.match(pattern, named(operation))), None)


def test_every_operation_has_a_row_in_the_table() -> None:
    assert [named(each) for each in OPERATIONS if row_of(each) is None] == []


def test_every_operation_asks_for_the_least_role_that_the_table_gives() -> None:
    wanted = {named(each): ACTIONS[row_of(each) or ""] for each in OPERATIONS}
    assert {named(each): each.rules.least for each in OPERATIONS} == wanted


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with open_caller(tmp_path) as opened:
        opened.http.headers.pop("authorization")
        yield opened


async def test_a_member_is_refused_for_the_role_exactly_where_the_table_says_so(caller: Caller) -> None:
    members = {role: add_member(caller.house, role) for role in ROLES}
    refused, wanted = set(), set()
    for each in OPERATIONS:
        for role, member in members.items():
            path = re.sub("<[^>]+>", NOBODY, each.path)
            headers = session_headers(caller.house, member)
            reply = await caller.http.request(each.method, path, headers=headers, json={} if each.body else None)
            assert reply.status_code not in (401, 500), f"{named(each)} by {role}: {reply.text}"
            if "role_required" in reply.text:
                refused.add((named(each), role))
            if ROLES.index(role) > ROLES.index(ACTIONS[row_of(each) or ""]):
                wanted.add((named(each), role))
    assert refused == wanted
