"""Stored responses: kept with the settlement of their call, continued, read back, forgotten after 30 days (R17)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.responses import ResponseRequest
from app.core.responses_items import Items, stored_items
from app.storage import responses as stored
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.ledger import Ending
from app.storage.responses import StoredResponse
from app.usecases.settling import Beside
from app.usecases.sweeping import run_sweeps

KEEP_US: Final = 30 * 24 * 3600 * 1_000_000
#: Bounds of what `previous_response_id` brings with it: responses, and characters of JSON.
LONGEST: Final = 256
LARGEST: Final = 8 * 1024 * 1024
#: Pause before the next portion of many.
MORE_S: Final = 0.03
#: SQLite deletes on the loop, at 2 ms for each MiB, and a response may hold as many as a request.
SWEPT_AT_ONCE: Final = 10
MISSING: Final = "There is no response with this id. Responses are kept for 30 days unless `store` is false."
BROKEN: Final = (
    "An earlier response of this conversation was deleted or is past its 30 days. Send its items as `input`."
)
TOO_LONG: Final = "The conversation behind previous_response_id is too long. Begin a new one with a summary as `input`."


class _Answered(msgspec.Struct):
    output: Items


_read_output = msgspec.json.Decoder(_Answered).decode
_read_items = msgspec.json.Decoder(Items).decode


class Responses:
    """The stored responses of all tenants."""

    def __init__(self, db: Database, *, clock: Clock = now_us) -> None:
        self._db = db
        self._clock = clock

    async def history(self, tenant_id: str, previous_id: str | None) -> Items:
        """The items of the conversation that ends with `previous_id`, oldest first.

        Raises Problem: 404 when it is not there for this tenant, or not whole; 400 when it is too long.
        """
        if previous_id is None:
            return []
        at = self._clock()
        links = await self._db.read(
            tenant_id, lambda db: stored.conversation(db, tenant_id, previous_id, at, LONGEST, LARGEST)
        )
        if not links:
            raise _missing("previous_response_id")
        size = sum(len(link.input) + len(link.response) for link in links)
        if size >= LARGEST or (len(links) == LONGEST and links[-1].previous_id is not None):
            raise Problem("invalid_request_error", TOO_LONG, "previous_response_id")
        if links[-1].previous_id is not None:
            raise Problem("not_found", BROKEN, "previous_response_id")
        items: Items = []
        for link in reversed(links):
            items += _read_items(link.input)
            items += _read_output(link.response).output
        return items

    def keep(self, tenant_id: str, request: ResponseRequest, response_id: str, response: bytes, events: str) -> Beside:
        """What stores the response, to be written with the settlement of its call."""
        at = self._clock()
        sent = msgspec.json.encode(stored_items(request.items, response_id)).decode()
        kept = StoredResponse(
            response_id, at, at + KEEP_US, request.fields.previous_response_id, sent, response.decode(), events
        )

        def store(db: Transaction, _ending: Ending) -> None:
            stored.store(db, tenant_id, kept)

        return store

    async def find(self, tenant_id: str, response_id: str) -> StoredResponse:
        """Raises Problem 404; a foreign id is answered like a missing one."""
        at = self._clock()
        found = await self._db.read(tenant_id, lambda db: stored.find(db, tenant_id, response_id, at))
        if found is None:
            raise _missing("response_id")
        return found

    async def input_items(self, tenant_id: str, response_id: str) -> Items:
        """What was sent with the request, in its order. Raises Problem 404."""
        return _read_items((await self.find(tenant_id, response_id)).input)

    async def delete(self, tenant_id: str, response_id: str) -> None:
        """Raises Problem 404."""
        if not await self._db.write(tenant_id, lambda db: stored.delete(db, tenant_id, response_id)):
            raise _missing("response_id")

    async def run_sweeper(self) -> None:
        """Delete what is past its time, again and again; any process may do it."""
        await run_sweeps("responses", self.sweep, SWEPT_AT_ONCE, MORE_S)

    async def sweep(self) -> int:
        """Delete some of what is past its time; how many."""
        at = self._clock()
        return await self._db.write(EVERY_TENANT, lambda db: stored.sweep(db, at, SWEPT_AT_ONCE))


def page(items: Items, *, after: str, limit: int, order: str) -> dict[str, Any]:
    """One page of `/input_items`, newest first unless `order` is `asc`. Raises Problem for an unknown `after`."""
    ordered = items if order == "asc" else items[::-1]
    start = 0
    if after:
        start = next((place for place, item in enumerate(ordered, 1) if item["id"] == after), 0)
        if not start:
            raise Problem("invalid_value", "`after` must be the id of one of the items.", "after")
    data = ordered[start : start + limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + limit < len(ordered),
    }


def _missing(param: str) -> Problem:
    return Problem("not_found", MISSING, param)
