"""A locked or full database: refused with 503 and a wait, nothing is served free, and all is well again afterwards."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import trio

from app.storage import engines
from app.storage.sqlite import SqliteEngine, Synchronous
from tests.databases import ON_BOTH, write_locked
from tests.e2e.calling import Caller, open_caller, question, until

#: Deadlines of a gateway that does not wait long for its database, and frees what it lost soon.
HURRIED: Final[dict[str, Any]] = {"database_deadline_s": 0.2, "hold_s": 1.0, "sweep_s": 0.05}
#: And whose answers do not wait for long until they are accounted for.
IMPATIENT: Final = HURRIED | {"settle_s": 0.3}


def locked(caller: Caller) -> AbstractContextManager[object]:
    """Another process that is in the middle of a write for the customer, for the length of the block."""
    return write_locked(caller.house.settings.database_url, caller.house.customer.tenant_id)


@asynccontextmanager
async def full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Caller, sqlite3.Connection]]:
    """A gateway, and the writing connection inside it.

    A page limit on that connection makes SQLite say what it says on a full disk, without filling one.
    """
    opened: list[SqliteEngine] = []

    class Engine(SqliteEngine):
        def __init__(self, path: Path, synchronous: Synchronous) -> None:
            super().__init__(path, synchronous)
            opened.append(self)

    monkeypatch.setattr(engines, "SqliteEngine", Engine)
    async with open_caller(tmp_path, **IMPATIENT) as caller:
        yield caller, opened[-1]._writer


def check_unavailable(reply: httpx2.Response) -> None:
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["type"]) == (503, "storage_unavailable", "server_error")
    assert "try again" in error["message"].lower()
    assert not {"sqlite", "postgres", "psycopg", "lock"} & set(re.findall("[a-z]+", reply.text.lower()))
    assert "choices" not in reply.text


@ON_BOTH
async def test_behind_a_lock_a_call_is_refused_and_nothing_is_served_free(database_url: str) -> None:
    async with open_caller(database_url, **HURRIED) as caller:
        assert (await caller.chat("[tokens=1]")).status_code == 200
        with locked(caller):
            for stream in (False, True):
                reply = await caller.chat("[tag=locked]", stream=stream)
                check_unavailable(reply)
                assert int(reply.headers["retry-after"]) >= 1
            assert (await caller.http.get("/v1/models")).status_code == 200
        assert caller.upstream("locked") == []

        async def recovered() -> bool:
            return (await caller.chat("[tokens=1]")).status_code == 200

        await until(recovered)
        assert caller.upstream("locked") == []
        assert (await caller.settled()).calls == 2, "no call that was refused was admitted behind its client's back"


@ON_BOTH
async def test_a_lock_that_ends_in_time_is_waited_for(database_url: str) -> None:
    async with open_caller(database_url) as caller:
        replies: list[httpx2.Response] = []

        async def ask() -> None:
            replies.append(await caller.chat("[tokens=1]"))

        async with trio.open_nursery() as nursery:
            with locked(caller):
                nursery.start_soon(ask)
                await trio.sleep(0.2)
                assert replies == []
        assert replies[0].status_code == 200


@ON_BOTH
async def test_an_answer_is_shown_as_finished_only_when_it_is_settled(database_url: str) -> None:
    async with (
        open_caller(database_url, **HURRIED) as caller,
        caller.stream(question("[first=100] [tokens=3]")) as stream,
    ):
        with locked(caller):
            texts = [await anext(stream) for _ in range(4)]
            assert "".join(event.delta.get("content") or "" for event in texts) == "The market opens"
            with trio.move_on_after(0.5):
                raise AssertionError(f"the stream went on: {await anext(stream)}")
        *_, last = await stream.events()
        assert last.payload == "[DONE]"
        assert (await caller.settled()).charged > 0


@ON_BOTH
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_cannot_be_settled_is_not_served_and_not_charged(database_url: str, stream: bool) -> None:
    async with open_caller(database_url, **IMPATIENT) as caller, trio.open_nursery() as nursery:
        replies: list[httpx2.Response] = []

        async def ask() -> None:
            replies.append(await caller.chat("[tag=unsettled] [first=100] [tokens=3]", stream=stream))

        async def asked() -> bool:
            return bool(caller.upstream("unsettled"))

        async def answered() -> bool:
            return bool(replies)

        nursery.start_soon(ask)
        await until(asked)
        with locked(caller):
            await until(answered)
        if stream:
            assert replies[0].status_code == 200
            assert '"code":"storage_unavailable"' in replies[0].text
            assert "[DONE]" not in replies[0].text
            assert '"finish_reason":"stop"' not in replies[0].text
        else:
            check_unavailable(replies[0])
        await caller.settled()
        (ending,) = caller.rows("SELECT state, charge FROM calls")
        assert ending in (("expired", 0), ("voided", 0))
        assert (await caller.chat("[tokens=1]")).status_code == 200


async def test_on_a_full_disk_calls_are_refused_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with full_disk(tmp_path, monkeypatch) as (caller, writer):
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")
        replies = [await caller.chat("[tag=full] [tokens=1]")]
        while replies[-1].status_code == 200 and len(replies) < 500:
            replies.append(await caller.chat("[tag=full] [tokens=1]"))
        check_unavailable(replies[-1])
        served = len(replies) - 1
        asked = len(caller.upstream("full"))
        assert asked - served in (0, 1), "one answer at most was generated and could not be settled"
        assert caller.rows("SELECT COUNT(*) FROM calls WHERE charge > 0") == [(served,)]
        assert (await caller.http.get("/v1/credits")).status_code == 200
        writer.execute("PRAGMA max_page_count = 1000000")
        await caller.settled()
        assert (await caller.chat("[tokens=1]")).status_code == 200
