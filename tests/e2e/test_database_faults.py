"""A PostgreSQL that stops, freezes, locks, fills up or turns read-only under a gateway that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, LiteralString

import httpx2
import pytest
import trio

from scripts.clustering.postgres import Postgres, open_postgres
from scripts.simulator.book import Record
from tests.databases import elsewhere, write_locked
from tests.e2e.calling import Caller, Event, Stream, open_caller, question, until
from tests.e2e.database_faults import STOPS, THROW_OUT, Stop, as_admin, frozen, full_disk, start, stop
from tests.e2e.settlement import usage_cost_ucr
from tests.house import add_customer

MODEL: Final = "kimi-k2.6"
#: A gateway that does not wait for long, but in whose answers a short outage of the database is not seen.
QUICK: Final[dict[str, Any]] = {"database_deadline_s": 0.5, "sweep_s": 0.1}
#: Half a second of answer.
SLOW: Final = "[tokens=10] [pace=20]"
BACK_S: Final = 8.0
_numbers: Final = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One that these tests may do anything to."""
    with TemporaryDirectory(prefix="gateway-") as folder, open_postgres(Path(folder) / "data", durable=False) as server:
        yield server


@pytest.fixture
def url(server: Postgres) -> str:
    if server.process is None:  # a test that failed has left it so
        server.start()
    return server.create(f"faults_{next(_numbers)}")


async def refused(caller: Caller, tag: str) -> None:
    """A call is told to come back, and no provider has heard of it."""
    for stream in (False, True):
        reply = await caller.chat(f"[tag={tag}] [tokens=1]", stream=stream)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "storage_unavailable"), reply.text
        assert int(reply.headers["retry-after"]) >= 1
    assert caller.upstream(tag) == []


async def served(caller: Caller) -> bool:
    reply: httpx2.Response = await caller.chat("[tokens=1]")
    assert reply.status_code in (200, 503)
    return reply.status_code == 200


async def recovered(caller: Caller) -> None:
    """By itself, soon, and then for good."""
    await until(lambda: served(caller), BACK_S)
    assert [await served(caller) for _ in range(5)] == [True] * 5


def due_ucr(record: Record) -> int:
    assert record.usage_sent is not None
    return usage_cost_ucr(MODEL, record.usage_sent)


async def first_words(stream: Stream) -> list[Event]:
    """Up to the first one with content."""
    seen = [await anext(stream)]
    while not seen[-1].delta.get("content"):
        seen.append(await anext(stream))
    return seen


@pytest.mark.parametrize("how", STOPS)
async def test_while_the_server_is_down_calls_are_refused_before_a_provider_is_asked(
    server: Postgres, url: str, how: Stop
) -> None:
    async with open_caller(url, **QUICK) as caller:
        assert await served(caller)
        await stop(server, how)
        await refused(caller, "down")
        await start(server)
        await recovered(caller)
        (calls,) = caller.rows("SELECT COUNT(*) FROM calls WHERE state <> 'posted'")
        assert calls == (0,)


async def test_a_restart_between_two_calls_is_not_noticed(server: Postgres, url: str) -> None:
    async with open_caller(url, **QUICK) as caller:
        assert await served(caller)
        await stop(server, "fast")
        await start(server)
        assert [await served(caller) for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("how", STOPS)
async def test_a_stream_ends_well_and_is_charged_when_the_server_comes_back_in_time(
    server: Postgres, url: str, how: Stop
) -> None:
    async with (
        open_caller(url, **QUICK) as caller,
        caller.stream(question(f"[tag=lives] {SLOW}")) as stream,
    ):
        await first_words(stream)
        await stop(server, how)
        record = await caller.house.book.ended("lives")
        await trio.sleep(0.3)
        await start(server)
        *_, last = await stream.events()
        assert last.payload == "[DONE]"
        assert (await caller.settled()).charged == due_ucr(record)


async def test_a_stream_ends_with_an_error_and_is_free_when_the_server_stays_away(server: Postgres, url: str) -> None:
    async with (
        open_caller(url, **QUICK, settle_s=0.5) as caller,
        caller.stream(question(f"[tag=lost] {SLOW}")) as stream,
    ):
        await first_words(stream)
        await stop(server, "immediate")
        *_, last = await stream.events()
        assert last.data["error"]["code"] == "storage_unavailable"
        assert stream.ended_well
        await start(server)
        await until(lambda: ended_as(caller, ("voided", "failed", 0, "B13")), BACK_S)


async def test_who_hangs_up_while_the_server_is_away_pays_when_it_is_back(server: Postgres, url: str) -> None:
    async with open_caller(url, **QUICK, settle_s=0.5) as caller:
        async with caller.stream(question(f"[tag=left] {SLOW}")) as stream:
            await first_words(stream)
            await stop(server, "immediate")
        await caller.house.book.ended("left")
        await trio.sleep(1)  # longer than an ending waits: from now on it is written when it can be
        await start(server)
        await until(lambda: has_left(caller), BACK_S)
        (charge,) = caller.rows("SELECT charge FROM calls")
        assert charge[0] > 0


async def ended_as(caller: Caller, ending: tuple[Any, ...]) -> bool:
    return caller.rows("SELECT state, outcome, charge, rule FROM calls") == [ending]


async def has_left(caller: Caller) -> bool:
    return caller.rows("SELECT state, outcome FROM calls") == [("posted", "cancelled")]


async def test_a_server_that_says_nothing_is_as_good_as_down(server: Postgres, url: str) -> None:
    async with open_caller(url, **QUICK) as caller:
        assert await served(caller)
        with frozen(server):
            with trio.fail_after(4):
                await refused(caller, "frozen")
        await recovered(caller)
        await caller.settled()
        assert caller.upstream("frozen") == []


async def test_a_stream_outlives_a_server_that_says_nothing_for_a_while(server: Postgres, url: str) -> None:
    async with (
        open_caller(url, **QUICK) as caller,
        caller.stream(question(f"[tag=waits] {SLOW}")) as stream,
    ):
        await first_words(stream)
        with frozen(server):
            record = await caller.house.book.ended("waits")
            await trio.sleep(1.5)
        *_, last = await stream.events()
        assert last.payload == "[DONE]"
        assert (await caller.settled()).charged == due_ucr(record)


async def test_a_lock_on_one_tenant_is_in_nobody_elses_way(server: Postgres, url: str) -> None:
    async with open_caller(url, database_deadline_s=2.0) as caller:
        other = elsewhere(url, lambda db: add_customer(db, "Other"))
        replies: list[httpx2.Response] = []

        async def locked_out() -> None:
            while True:
                replies.append(await caller.chat("[tag=locked] [tokens=1]"))

        with write_locked(url, caller.house.customer.tenant_id):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(locked_out)
                await trio.sleep(0.1)
                for _ in range(3):
                    reply = await caller.post(question("[tokens=1]"), authorization=f"Bearer {other.key}")
                    assert reply.status_code == 200
                nursery.cancel_scope.cancel()
        assert {reply.status_code for reply in replies} <= {503}
        assert caller.upstream("locked") == []
        await recovered(caller)


async def test_on_a_full_disk_calls_are_refused_until_there_is_room(server: Postgres, url: str) -> None:
    async with open_caller(url, **QUICK, settle_s=0.5) as caller:
        with full_disk(server, url, caller.house.customer.tenant_id):
            replies = [await caller.chat("[tag=full] [tokens=1]") for _ in range(30)]
            whole = sum(reply.status_code == 200 for reply in replies)
            assert {reply.status_code for reply in replies[whole:]} == {503}
            assert len(caller.upstream("full")) - whole <= 1, "one answer at most came and could not be settled"
            assert whole < 25
        await recovered(caller)
        await caller.settled()
        assert caller.rows("SELECT COUNT(*) FROM calls WHERE charge > 0") == [(whole + 6,)]


READ_ONLY: Final = "ALTER ROLE gateway SET default_transaction_read_only = on"
WRITABLE: Final = "ALTER ROLE gateway RESET default_transaction_read_only"
NO_CONNECTION: Final = "ALTER ROLE gateway CONNECTION LIMIT 0"
CONNECTIONS: Final = "ALTER ROLE gateway CONNECTION LIMIT -1"


@pytest.mark.parametrize(
    ("trouble", "relief"),
    [(READ_ONLY, WRITABLE), (NO_CONNECTION, CONNECTIONS)],
    ids=["read-only, as after a failover", "no connection left"],
)
async def test_a_server_that_takes_no_writes_means_503_and_streams_that_wait(
    server: Postgres, url: str, trouble: LiteralString, relief: LiteralString
) -> None:
    try:
        async with (
            open_caller(url, **QUICK) as caller,
            caller.stream(question(f"[tag=goes_on] {SLOW}")) as stream,
        ):
            await first_words(stream)
            as_admin(server, trouble, THROW_OUT)
            await refused(caller, "trouble")
            record = await caller.house.book.ended("goes_on")
            as_admin(server, relief)
            await recovered(caller)
            *_, last = await stream.events()
            assert last.payload == "[DONE]"
            await caller.settled()
            (charge,) = caller.rows("SELECT charge FROM calls WHERE id = ?", last_id(stream))
            assert charge == (due_ucr(record),)
    finally:
        as_admin(server, relief)


def last_id(stream: Stream) -> str:
    return dict(stream.headers)["x-generation-id"]
