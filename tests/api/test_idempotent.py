"""Writes that cost nothing, once for each key: whatever answers by `Exchange.reply` is given again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from unittest.mock import MagicMock

import pytest
import trio
from quart import Quart

from app.api.app import create_app
from app.api.exchange import WHEN_LEFT, Exchange
from app.api.idempotent import write_once
from app.core.errors import Problem
from app.core.idempotency import LEASE_US
from app.core.identity import Visitor
from app.core.sealing import Sealer
from app.storage.database import EVERY_TENANT, Database
from app.usecases.idempotency import Idempotency
from tests.books import open_books
from tests.databases import ON_BOTH
from tests.storage.making import make_tenant
from tests.usecases.spending import Clock

pytestmark = ON_BOTH

PATH: Final = "/api/v1/things"
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Office:
    """An app with one route, which makes a thing and shows its secret once, unless it is to fail."""

    db: Database
    visitor: Visitor
    clock: Clock = field(default_factory=Clock)
    made: int = 0
    failure: Exception | None = None
    #: Set it to make the handler hang; it is told when it does.
    hangs: trio.Event | None = None
    #: Set it when the client is to leave.
    left: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.services = MagicMock()
        self.services.idempotency = Idempotency(self.db, Sealer("a secret for tests only"), clock=self.clock)
        self.app: Quart = create_app(self.services)
        self.app.config["DIRECT_ROUTES"]["POST", PATH] = self.serve

    async def serve(self, exchange: Exchange) -> None:
        async def write() -> None:
            if self.hangs is not None:
                self.hangs.set()
                await trio.sleep_forever()
            if self.failure is not None:
                raise self.failure
            self.made += 1
            secret = b'{"secret":"%d"}' % self.made
            await exchange.reply_json(secret, [(b"location", b"/api/v1/things/1"), (b"set-cookie", b"a=b")], 201)

        await write_once(self.services, exchange, self.visitor, write)

    async def post(self, key: str | None = "k", body: bytes = b"{}", query: bytes = b"") -> Reply:
        """Status, headers and body; status 0 when the client left."""
        sent: list[Any] = []
        headers = [] if key is None else [(b"idempotency-key", key.encode())]
        request: Any = {
            **{"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": query},
            **{"headers": headers, "http_version": "1.1", "scheme": "http"},
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message)

        async with trio.open_nursery() as nursery:
            request["extensions"] = {WHEN_LEFT: lambda leave: nursery.start_soon(self._leave, leave)}
            await self.app(request, receive, send)
            nursery.cancel_scope.cancel()
        if not sent:
            return 0, {}, b""
        head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], head, sent[1]["body"]

    async def _leave(self, leave: Callable[[], None]) -> None:
        await self.left.wait()
        leave()


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with open_books(database_url) as db:
        tenant = await db.write(EVERY_TENANT, make_tenant)
        yield Office(db, Visitor(tenant, user_id="user_1"))


async def test_a_write_with_a_key_is_done_once_and_its_secret_shown_again(office: Office) -> None:
    first, again = await office.post(), await office.post()
    assert (office.made, first[0], first[2]) == (1, 201, b'{"secret":"1"}')
    assert (again[0], again[2], again[1]["location"]) == (first[0], first[2], first[1]["location"])
    assert ("idempotent-replay" in first[1], again[1]["idempotent-replay"]) == (False, "true")
    assert "set-cookie" not in again[1]


async def test_a_write_without_a_key_is_done_each_time(office: Office) -> None:
    assert [(await office.post(None))[0] for _ in range(2)] == [201, 201]
    assert office.made == 2


async def test_another_body_query_or_visitor_is_another_request(office: Office) -> None:
    await office.post()
    assert (await office.post(body=b"{ }"))[0] == 409
    assert (await office.post(query=b"dry=true"))[0] == 409
    office.visitor = replace(office.visitor, user_id="user_2")
    assert (await office.post())[0] == 409
    assert office.made == 1


@pytest.mark.parametrize(
    ("failure", "status", "made"),
    [
        (Problem("conflict", "There is one."), 409, 0),
        (Problem("invalid_value", "No."), 400, 0),
        (Problem("session_required", "Log in."), 401, 1),
        (Problem("budget_exceeded", "Spent."), 402, 1),
        (Problem("quota_exceeded", "Wait.", retry_after_s=90), 429, 1),
        (Problem("storage_unavailable", "Wait."), 503, 1),
        (RuntimeError("a bug"), 500, 1),
    ],
)
async def test_what_may_go_another_way_next_time_is_tried_again_and_the_rest_is_not(
    office: Office, failure: Exception, status: int, made: int
) -> None:
    office.failure = failure
    first = await office.post()
    office.failure = None
    again = await office.post()
    assert (first[0], office.made) == (status, made)
    assert (again[0], again[1].get("idempotent-replay")) == ((201, None) if made else (status, "true"))
    assert made or again[1].get("x-should-retry") == first[1].get("x-should-retry")


async def test_whoever_leaves_before_the_answer_lets_the_repeat_run(office: Office) -> None:
    async with trio.open_nursery() as nursery:
        office.hangs = trio.Event()
        nursery.start_soon(office.post)
        await office.hangs.wait()
        office.left.set()
    office.hangs, office.left = None, trio.Event()
    assert ((await office.post())[0], office.made) == (201, 1)


async def test_a_repeat_waits_for_a_write_that_runs_until_its_lease_is_over(office: Office) -> None:
    async with trio.open_nursery() as nursery:
        office.hangs = trio.Event()
        nursery.start_soon(office.post)
        await office.hangs.wait()
        office.hangs = None
        status, head, _ = await office.post()
        assert (status, head["retry-after"], office.made) == (409, "2", 0)
        office.clock.turn(LEASE_US / 1e6)
        assert ((await office.post())[0], office.made) == (201, 1)
        nursery.cancel_scope.cancel()
