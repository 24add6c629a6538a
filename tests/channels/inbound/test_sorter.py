"""Sorters of any number of processes sort everything once, past rows that cannot be sorted and databases away."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from app.storage import inbox
from app.storage.database import EVERY_TENANT, Engine, StorageError, Transaction
from app.storage.inbox import Event, NewEvent
from channels.inbound import applying, sorter
from channels.inbound.sorter import CRASHED, MOST_TRIES, PORTION, REFUSED
from channels.inbound.sorting import Sorted, Sorting
from channels.inbound.sorting_messages import sort_message
from tests.books import open_books
from tests.channels.mailroom import Mailroom, add_number, open_mailroom, running, text
from tests.databases import ON_BOTH
from tests.e2e.calling import until
from tests.gate import GatedEngine
from tests.storage.making import make_tenant


async def sorted_out(room: Mailroom, count: int) -> None:
    """Wait until so many rows are done or dead."""

    async def so() -> bool:
        return len(await room.rows("inbox WHERE state <> 'pending'", "event_key")) >= count

    await until(so, 10.0)


async def another(room: Mailroom, name: str) -> Mailroom:
    """Another organisation's."""
    tenant_id = await room.db.write(EVERY_TENANT, lambda db: make_tenant(db, name, credit=0))
    number = await room.db.write(tenant_id, lambda db: add_number(db, tenant_id, account=name))
    return Mailroom(room.db, tenant_id, number)


@ON_BOTH
async def test_two_processes_sort_everything_once(room: Mailroom, database_url: str) -> None:
    async with open_books(database_url) as db, running(room.sorter, room.another_sorter(db)):
        for start in range(0, 400, 100):
            await room.bring(*(text(f"wamid.{number}", str(number)) for number in range(start, start + 100)))
            room.clock.now += 1
        await sorted_out(room, 400)
    assert [words for (words,) in await room.messages()] == [str(number) for number in range(400)]
    assert await room.rows("lanes", "touched") == [(400,)]


async def test_a_sorter_is_woken_by_its_bell_and_wakes_the_lanes(room: Mailroom) -> None:
    async with running(room.sorter):
        await trio.sleep(0.01)
        began = trio.current_time()
        await room.bring(text("wamid.A"))
        await room.lanes_bell.wait(5)
        assert trio.current_time() - began < sorter.LOOK_EVERY_S


async def test_many_organisations_are_sorted_for_past_one_with_much_to_sort(room: Mailroom) -> None:
    await room.bring(*(text(f"wamid.{number}") for number in range(PORTION * 6)))
    others = [await another(room, name) for name in "abcdefghijklmnopqrstuvwxyz"]
    for other in others:
        await other.bring(text("wamid.A"))
    async with running(room.sorter):
        await sorted_out(room, PORTION * 6 + len(others))
    assert len(await room.rows("conversations", "id")) == 1 + len(others)


@pytest.fixture
async def poisoned(database_url: str) -> AsyncIterator[Mailroom]:
    """Between two good messages one that no version of the program has written."""
    async with open_mailroom(database_url) as room:
        await room.bring(text("wamid.A", "one"))
        bad = NewEvent(room.number.id, "wamid.B", "message", '{"type":"message","id":5}')
        await room.db.write(room.tenant_id, lambda db: inbox.insert(db, room.tenant_id, [bad], room.clock() + 1))
        room.clock.turn(1)
        await room.bring(text("wamid.C", "two"))
        yield room


@ON_BOTH
async def test_a_row_that_makes_our_code_fail_becomes_a_dead_letter_and_the_others_go_on(poisoned: Mailroom) -> None:
    async with running(poisoned.sorter):
        await sorted_out(poisoned, 3)
    assert await poisoned.messages() == [("one",), ("two",)]
    assert await poisoned.rows("inbox", "state, error", "seq") == [("done", ""), ("dead", CRASHED), ("done", "")]
    assert await poisoned.rows("dead_letters", "reason, body") == [
        (CRASHED, '[{"account":"1065","key":"wamid.B","update":{"type":"message","id":5}}]')
    ]


async def test_what_a_failing_row_wrote_before_it_failed_is_undone(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_after_writing(*arguments: object) -> None:
        sort_message(*arguments)  # type: ignore[arg-type]
        raise ZeroDivisionError

    await room.bring(text("wamid.A"))
    with monkeypatch.context() as patch:
        patch.setattr(applying, "_sort", fail_after_writing)
        await room.sort()
    assert await room.rows("inbox", "state, error") == [("dead", CRASHED)]
    assert await room.rows("conversations", "id") + await room.rows("contacts", "id") == []


def apply_but_for_b(sorting: Sorting, event: Event) -> Sorted:
    """As if the database could not take one message, whatever else it takes."""
    if event.event_key == "wamid.B":
        sorting.db.do("SELECT * FROM what_is_not_there")
    return applying.apply(sorting, event)


async def test_a_row_that_the_database_refuses_is_tried_again_and_at_last_put_aside(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorter, "apply", apply_but_for_b)
    await room.bring(text("wamid.A", "one"), text("wamid.B"), text("wamid.C", "two"))
    seen = []
    for tries in range(MOST_TRIES + 1):
        await room.sort()
        seen += await room.rows("inbox WHERE event_key = 'wamid.B'", "state, tries, error")
        room.clock.turn(2**tries)
    assert seen[:-1] == [("pending", tries + 1, REFUSED) for tries in range(MOST_TRIES)]
    assert seen[-1] == ("dead", MOST_TRIES, REFUSED)
    assert await room.messages() == [("one",), ("two",)]


async def test_a_database_that_was_away_loses_nothing(database_url: str) -> None:
    gates: list[GatedEngine] = []

    def gated(engine: Engine) -> GatedEngine:
        gates.append(GatedEngine(engine))
        return gates[-1]

    async with open_mailroom(database_url) as room, open_books(database_url, wrap=gated) as db:
        await room.bring(text("wamid.A"))
        gates[0].crash = StorageError("away")
        async with running(room.another_sorter(db)):
            await trio.sleep(0.2)
            assert await room.messages() == []
            gates[0].crash = None
            await sorted_out(room, 1)
        assert await room.messages() == [("hello",)]
        assert await room.rows("inbox", "state, tries") == [("done", 0)]


@ON_BOTH
async def test_waiting_tells_each_tenant_with_something_to_sort_and_when(room: Mailroom) -> None:
    def other(db: Transaction) -> str:
        return make_tenant(db, "Other", credit=0)

    other_id = await room.db.write(EVERY_TENANT, other)
    await room.bring(text("wamid.A"), text("wamid.B"))
    event = NewEvent("n", "k", "message", "{}")
    await room.db.write(other_id, lambda db: inbox.insert(db, other_id, [event], room.clock() + 5))
    found = await room.db.read(EVERY_TENANT, lambda db: inbox.waiting(db, "", 10))
    assert found == sorted([(room.tenant_id, room.clock()), (other_id, room.clock() + 5)])
    first = found[0].tenant_id
    assert await room.db.read(EVERY_TENANT, lambda db: inbox.waiting(db, first, 10)) == found[1:]
    assert await room.db.read(EVERY_TENANT, lambda db: inbox.waiting(db, "", 1)) == found[:1]
    await room.sort()
    left = await room.db.read(EVERY_TENANT, lambda db: inbox.waiting(db, "", 10))
    assert [tenant_id for tenant_id, _ in left] == [other_id]


@ON_BOTH
async def test_sorters_that_are_killed_again_and_again_lose_nothing_and_do_nothing_twice(
    room: Mailroom, database_url: str
) -> None:
    async with open_books(database_url) as db:
        for start in range(0, 300, 30):
            await room.bring(*(text(f"wamid.{number}", str(number)) for number in range(start, start + 30)))
            room.clock.now += 1
            with trio.move_on_after(start / 30_000):
                async with running(room.another_sorter(), room.another_sorter(db)):
                    await trio.sleep_forever()
        await room.sort()
    assert [words for (words,) in await room.messages()] == [str(number) for number in range(300)]
    assert await room.rows("lanes", "touched") == [(300,)]
    assert await room.rows("bots", "conversation_count") == [(1,)]


async def test_a_row_that_cannot_even_be_put_aside_stops_nobody_elses(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorter, "RETRY_S", 0.05)
    other = await another(room, "Bolt")

    def broken(sorting: Sorting, event: Event) -> Sorted:
        if sorting.tenant_id == room.tenant_id:
            raise KeyError("ours")
        return applying.apply(sorting, event)

    def no_room(*_: object) -> None:
        raise KeyError("ours, too")

    monkeypatch.setattr(sorter, "apply", broken)
    monkeypatch.setattr(sorter, "bury", no_room)
    async with running(room.sorter):
        await room.bring(text("wamid.A"))
        await trio.sleep(0.1)
        await other.bring(text("wamid.B"))
        room.bell.ring()
        await sorted_out(other, 1)
    assert sorted(await room.rows("inbox", "state")) == [("done",), ("pending",)]
