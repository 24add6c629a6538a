"""A browser for tests: cookies are kept and sent, a page's origin goes along, as long as it is the gateway's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2

from tests.e2e.calling import Json

AUTH: Final = "/api/v1/auth"
USERS: Final = "/api/v1/users"
PASSWORD: Final = "correct horse battery"


class Browser:
    """`origin` is that of the page that asks, None for what is no browser."""

    def __init__(self, http: httpx2.AsyncClient, origin: str | None) -> None:
        self.http = http
        self.origin = origin

    @property
    def token(self) -> str:
        """Of the session, "" without one."""
        return "".join(cookie.value or "" for cookie in self.http.cookies.jar if cookie.name == "cm_session")

    @token.setter
    def token(self, token: str) -> None:
        """As the gateway sets it, so that it replaces this one."""
        self.http.cookies.clear()
        self.http.cookies.set("cm_session", token, domain=self.http.base_url.host)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Underscores in header names stand for hyphens."""
        origin = {} if self.origin is None else {"origin": self.origin}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, json=body, headers={**origin, **named})

    async def register(self, email: str = "jo@acme.example", organisation: str = "Acme 2", **fields: Any) -> Json:
        """Of a good registration, the account."""
        body = {"email": email, "password": PASSWORD, "full_name": "Jo", "organisation": organisation, **fields}
        return good(await self.ask("POST", f"{AUTH}/register", body), 201)

    async def login(self, email: str = "jo@acme.example", password: str = PASSWORD) -> httpx2.Response:
        return await self.ask("POST", f"{AUTH}/login", {"email": email, "password": password})

    async def me(self) -> httpx2.Response:
        return await self.ask("GET", f"{AUTH}/me")

    async def invite(self, email: str, role: str = "agent") -> Json:
        return good(await self.ask("POST", USERS, {"email": email, "full_name": "Al", "role": role}), 201)


@asynccontextmanager
async def open_browser(url: str, origin: str | None = "") -> AsyncIterator[Browser]:
    """A browser of its own on a page of the gateway itself, unless another origin is named."""
    async with httpx2.AsyncClient(base_url=url, timeout=10) as http:
        yield Browser(http, url if origin == "" else origin)


def good(reply: httpx2.Response, status: int = 200) -> Json:
    assert reply.status_code == status, reply.text
    body: Json = reply.json()
    return body


def refusal(reply: httpx2.Response) -> tuple[int, str, str | None]:
    error = reply.json()["error"]
    return reply.status_code, error["code"], error["param"]
