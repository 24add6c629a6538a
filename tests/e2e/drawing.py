"""Images drawn, their history and their files, for the tests of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import httpx2

from tests.e2e.calling import Caller, Json
from tests.house import Customer

GENERATIONS: Final = "/v1/images/generations"
HISTORY: Final = "/v1/images/history"
FILES: Final = "/v1/images/files"


async def draw(caller: Caller, prompt: str = "a lamp", **fields: Any) -> httpx2.Response:
    reply = await caller.post({"model": "lucid-origin", "prompt": prompt, **fields}, GENERATIONS)
    assert reply.status_code == 200, reply.text
    return reply


async def history(caller: Caller, who: Customer | None = None, **query: object) -> Json:
    who = who or caller.house.customer
    headers = {"authorization": f"Bearer {who.key}"}
    reply = await caller.http.get(HISTORY, params={name: str(value) for name, value in query.items()}, headers=headers)
    assert reply.status_code == 200, reply.text
    body: Json = reply.json()
    return body


async def listed(caller: Caller, who: Customer | None = None) -> list[Json]:
    rows: list[Json] = (await history(caller, who))["data"]
    return rows


def files(caller: Caller) -> list[Path]:
    return list(Path(caller.house.settings.blob_dir).rglob("img_*"))


async def fetch(url: str, method: str = "GET", **headers: str) -> httpx2.Response:
    """As somebody without a key."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(timeout=5) as http:
        return await http.request(method, url, headers=named)
