"""A member at the dashboard's API, and a second gateway on the same database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import trio

from app.core.identity import Role
from app.main import run_gateway
from tests.e2e.calling import Caller, Json, open_caller, question
from tests.e2e.members import add_member, session_headers
from tests.house import House


@dataclass(frozen=True, slots=True)
class Manager:
    """`http` is a member's browser; `caller` is the customer with its first key."""

    http: httpx2.AsyncClient
    caller: Caller

    async def create(self, name: str = "server", **fields: Any) -> Json:
        """A new key, its text with it."""
        reply = await self.http.post("/api/v1/keys", json={"name": name, **fields})
        assert reply.status_code == 201, reply.text
        key: Json = reply.json()
        return key

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str | None]:
        """(status, code, param) of a request that must not succeed."""
        reply = await self.http.request(method, path, json=body)
        assert reply.status_code >= 400, reply.text
        error = reply.json()["error"]
        return reply.status_code, error["code"], error["param"]

    async def call(self, key: str, url: str = "", text: str = "[tokens=2]") -> tuple[int, str]:
        """(status, error code) of a chat call with this key, to this gateway or another."""
        reply = await self.caller.http.post(
            f"{url}/v1/chat/completions", json=question(text), headers={"authorization": f"Bearer {key}"}
        )
        return reply.status_code, reply.json().get("error", {"code": ""})["code"]


@asynccontextmanager
async def open_manager(database_url: str, role: Role = "admin") -> AsyncIterator[Manager]:
    async with open_caller(database_url) as caller, open_browser(caller.house, role) as http:
        yield Manager(http, caller)


@asynccontextmanager
async def open_browser(
    house: House, role: Role = "admin", tenant_id: str | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A new member of the house's customer, or of another tenant, who is logged in."""
    headers = session_headers(house, add_member(house, role, tenant_id=tenant_id))
    async with httpx2.AsyncClient(base_url=house.url, headers=headers, timeout=10, verify=False) as http:
        yield http


@asynccontextmanager
async def open_second(house: House) -> AsyncIterator[str]:
    """The URL of another gateway that shares nothing with the first but the database, as another process would."""
    shutdown, hurry = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
            await run_gateway(house.settings, shutdown=shutdown, hurry=hurry, task_status=task_status)

        urls = await nursery.start(run)
        yield urls[0]
        shutdown.set()
