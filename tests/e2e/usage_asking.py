"""How the tests of usage ask for the log of calls, and make calls that end in every way."""

from __future__ import annotations

from typing import Any, Final

from tests.e2e.calling import Caller, Json, question

LOGS: Final = "/v1/usage/logs"
COLUMNS: Final = [
    *("id", "created_at", "service", "endpoint", "method", "model", "status_code", "latency_ms", "input_tokens"),
    *("output_tokens", "audio_seconds", "cost_usd", "credits", "request_id", "api_key_id", "error_message"),
    *("trace_id", "session_id"),
]


async def get(caller: Caller, path: str = LOGS, **query: Any) -> Json:
    reply = await caller.http.get(path, params=query)
    assert reply.status_code == 200, reply.text
    body: Json = reply.json()
    return body


async def lines(caller: Caller, **query: Any) -> list[Json]:
    found: list[Json] = (await get(caller, **query))["data"]
    return found


async def make_endings(caller: Caller) -> None:
    """A good call, one that its client left, and two failures."""
    await caller.chat("[tokens=2]")
    async with caller.stream(question("[tokens=400] [pace=40]")) as stream:
        await stream.__anext__()
    await caller.settled()
    assert (await caller.chat("[mock=500]", "sarvam-30b")).status_code == 502
    assert (await caller.chat("[mock=429]", "sarvam-30b")).status_code == 429
