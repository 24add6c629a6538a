"""How the tests of idempotency keys ask: every billable route with a key, and what a repeat of it must show again."""

from __future__ import annotations

from typing import Any, Final

import httpx2
import msgspec

from tests.api.routes import FORMS, GOOD
from tests.e2e.calling import Caller
from tests.e2e.speaking import recording
from tests.house import Customer

KEY: Final = "order-7"
HEADER: Final = "idempotency-key"
REPLAY: Final = "idempotent-replay"


async def send(
    caller: Caller, path: str, who: Customer | None = None, key: str | None = KEY, **fields: Any
) -> httpx2.Response:
    """The good request of a billable route with these fields besides; a form gets a new boundary each time."""
    customer = who or caller.house.customer
    headers = {"authorization": f"Bearer {customer.key}", **({} if key is None else {HEADER: key})}
    if path in FORMS:
        files = {"file": ("speech.wav", fields.pop("file", None) or recording(), "audio/wav")}
        return await caller.http.post(path, data={**FORMS[path], **fields}, files=files, headers=headers)
    body = msgspec.json.encode({**GOOD[path], **fields})
    return await caller.http.post(path, content=body, headers=headers)


def shown(reply: httpx2.Response) -> tuple[int, str, str | None, bytes]:
    """What a repeat shows again."""
    head = reply.headers
    return reply.status_code, head["content-type"], head.get("x-generation-id"), reply.content


def is_replay(reply: httpx2.Response) -> bool:
    return reply.headers.get(REPLAY) == "true"


def code(reply: httpx2.Response) -> str | None:
    """The gateway's own code in either envelope, None of an answer."""
    if reply.status_code == 200:
        return None
    error = reply.json()["error"]
    found: str = error.get("code") or error["details"]["error_code"]
    return found
