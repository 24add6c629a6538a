"""Deliveries go out once, signed, again after pauses, past receivers that hang, and over the death of a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import msgspec
import pytest
import trio

from app.core.delivery_room import MOST_OF_HOST
from app.core.sealing import Sealer
from app.core.webhooks import signature
from app.providers.receivers import Answer, Unreachable
from app.storage.database import StorageError
from app.usecases import deliveries
from app.usecases.deliveries import LEASE_US, OURS, SEALED, Deliveries
from tests.books import open_books
from tests.e2e.calling import until
from tests.usecases.posting import OK, Office, answer_ok, open_office, running


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with open_office(database_url) as opened:
        yield opened


async def answer_500(_url: str) -> Answer:
    return Answer(500, b"oops \x00 \xff")


async def hang(_url: str) -> Answer:
    await trio.sleep_forever()
    raise AssertionError


async def test_an_event_arrives_signed_with_its_headers(office: Office) -> None:
    webhook_id, secret = await office.subscribe()
    await office.emit()
    async with running(office.service()):
        await office.states("delivered")
    (posted,) = office.receivers.posted
    ((delivery_id, hook, status, attempts),) = await office.rows("id, webhook_id, status, attempts")
    assert (hook, status, attempts) == (webhook_id, 200, 1)
    assert posted.headers == {
        "Content-Type": "application/json",
        "User-Agent": "CallMissed-Webhooks/1",
        "X-CallMissed-Event": "credits.low",
        "X-CallMissed-Delivery": delivery_id,
        "X-CallMissed-Signature": signature(secret, posted.body),
    }
    assert msgspec.json.decode(posted.body)["data"] == {"number": 0}


async def test_for_a_day_after_a_change_the_old_secret_signs_too(office: Office) -> None:
    webhook_id, old = await office.subscribe()
    new = (await office.webhooks.rotate(office.tenant_id, webhook_id)).secret
    await office.emit()
    async with running(office.service()):
        await office.states("delivered")
        office.clock.turn(86_400)
        await office.emit()
        await office.states("delivered", "delivered")
    first, second = office.receivers.posted
    assert first.headers["X-CallMissed-Signature"] == signature(new, first.body)
    assert first.headers["X-CallMissed-Signature-Previous"] == signature(old, first.body)
    assert second.headers["X-CallMissed-Signature"] == signature(new, second.body)
    assert "X-CallMissed-Signature-Previous" not in second.headers


async def test_five_attempts_with_the_same_bytes_two_four_eight_and_sixteen_seconds_apart(office: Office) -> None:
    await office.subscribe()
    await office.emit()
    office.receivers.act = answer_500
    pauses: list[int] = []
    async with running(office.service()):
        for attempt in range(1, 5):
            await office.becomes("attempts", (attempt,))
            ((due_us, state),) = await office.rows("due_at, state")
            ((ended_us,),) = await office.db.read(
                office.tenant_id,
                lambda db: db.all("SELECT at + 1000 * ms FROM delivery_attempts ORDER BY number DESC LIMIT 1"),
            )
            pauses.append(due_us - ended_us)
            assert state == "pending"
            office.clock.now = due_us
        await office.states("failed")
    assert pauses == [2_000_000, 4_000_000, 8_000_000, 16_000_000]
    assert len(office.receivers.posted) == 5
    assert len({(each.body, each.delivery_id) for each in office.receivers.posted}) == 1
    assert await office.rows("attempts, status, error") == [(5, 500, "the receiver answered 500")]


async def test_what_is_not_due_is_not_sent(office: Office) -> None:
    await office.subscribe()
    await office.emit()
    office.receivers.act = answer_500
    async with running(office.service()):
        await office.becomes("attempts", (1,))
        ((due_us,),) = await office.rows("due_at")
        office.clock.now = due_us - 1
        await office.emit()
        await office.becomes("attempts", (1,), (1,))
    assert len(office.receivers.posted) == 2


@pytest.mark.parametrize(
    ("status", "state"), [(200, "delivered"), (299, "delivered"), (300, "pending"), (404, "pending")]
)
async def test_under_300_is_delivered(office: Office, status: int, state: str) -> None:
    async def answer(_url: str) -> Answer:
        return Answer(status, b"x" * 4096)

    await office.subscribe()
    await office.emit()
    office.receivers.act = answer
    async with running(office.service()):
        await office.becomes("status", (status,))
    assert await office.rows("state") == [(state,)]


async def test_whatever_goes_wrong_is_an_attempt_with_a_reason(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def misbehave(url: str) -> Answer:
        match url.rpartition("/")[2]:
            case "late":
                await trio.sleep_forever()
            case "bug":
                raise KeyError("ours")
        raise Unreachable("nobody is there \x00" + "x" * 5000)

    for name in ("late", "bug", "away"):
        await office.subscribe(f"https://{name}.example/{name}")
    monkeypatch.setattr(deliveries, "ATTEMPT_S", 0.05)
    office.receivers.act = misbehave
    await office.emit()
    async with running(office.service()):
        await office.becomes("attempts", (1,), (1,), (1,))
    errors = sorted(error for (error,) in await office.rows("error"))
    assert errors[:2] == [OURS, "no answer within 10 s"]
    assert errors[2].startswith("nobody is there \ufffd")
    assert len(errors[2]) == 1024


async def test_a_secret_of_another_time_is_said_and_nothing_is_sent(office: Office) -> None:
    await office.subscribe()
    await office.emit()
    service = Deliveries(office.db, Sealer("another secret of the server"), office.receivers, clock=office.clock)
    async with running(service):
        await office.becomes("error", (SEALED,))
    assert office.receivers.posted == []


async def test_a_receiver_that_hangs_holds_up_no_other(office: Office) -> None:
    dead, alive = "https://dead.example/", "https://alive.example/"

    async def act(url: str) -> Answer:
        return await hang(url) if url == dead else OK

    async def crowded() -> bool:
        return office.receivers.most[dead] == MOST_OF_HOST

    async def served() -> bool:
        return (await office.rows("state")).count(("delivered",)) == 20

    await office.subscribe(dead)
    await office.emit(20)
    await office.subscribe(alive)
    office.receivers.act = act
    async with running(office.service()):
        await until(crowded)
        await office.emit(20)
        await until(served)
    assert office.receivers.most[dead] == MOST_OF_HOST


async def test_a_host_that_only_the_old_rules_of_names_can_read_stops_nobody(office: Office) -> None:
    await office.subscribe("https://a\N{PRESENTATION FORM FOR VERTICAL COLON}b.example/")
    await office.subscribe()
    await office.emit()
    async with running(office.service()):
        await office.states("delivered", "delivered")


async def test_a_host_written_in_other_ways_is_the_same_host(office: Office) -> None:
    office.receivers.act = hang
    for url in ("https://receiver.example/", "https://Receiver.Example:8443/", "https://receiver.example./"):
        for _ in range(MOST_OF_HOST):
            await office.subscribe(url)
    await office.emit()

    async def crowded() -> bool:
        return office.receivers.most_in_all >= MOST_OF_HOST

    async with running(office.service()):
        await until(crowded)
        await trio.sleep(3 * deliveries.LOOK_EVERY_S)
    assert office.receivers.most_in_all == MOST_OF_HOST


async def test_two_processes_send_everything_once(office: Office, database_url: str) -> None:
    async def act(_url: str) -> Answer:
        await trio.sleep(0.001)
        return OK

    for number in range(6):
        await office.subscribe(f"https://r{number}.example/")
    await office.emit(20)
    office.receivers.act = act
    async with open_books(database_url) as other, running(office.service()), running(office.service(other)):
        await office.states(*["delivered"] * 120)
    assert Counter(each.delivery_id for each in office.receivers.posted).most_common(1)[0][1] == 1
    assert len(office.receivers.posted) == 120


async def test_what_a_dead_process_had_taken_up_is_sent_when_its_lease_is_over(office: Office) -> None:
    await office.subscribe()
    await office.emit()
    office.receivers.act = hang
    async with running(office.service()):
        await office.posted()
    assert await office.rows("state, attempts") == [("pending", 0)]
    office.clock.turn(LEASE_US / 1e6)
    office.receivers.act = answer_ok
    async with running(office.service()):
        await office.states("delivered")
    first, second = office.receivers.posted
    assert (first.delivery_id, first.body) == (second.delivery_id, second.body)


async def test_an_answer_is_written_down_when_the_database_is_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(_url: str) -> Answer:
        office.engine.crash = StorageError("away")
        return OK

    monkeypatch.setattr(deliveries, "RETRY_S", 0.01)
    await office.subscribe()
    await office.emit()
    office.receivers.act = act
    async with running(office.service()):
        await office.posted()
        await trio.sleep(0.1)
        office.engine.crash = None
        await office.states("delivered")
    assert len(office.receivers.posted) == 1


async def test_a_service_that_is_asked_to_stop_ends_what_it_has_begun_and_begins_no_more(office: Office) -> None:
    go = trio.Event()

    async def act(_url: str) -> Answer:
        await go.wait()
        return OK

    await office.subscribe()
    await office.emit(3)
    office.receivers.act = act
    service = office.service()
    async with running(service) as shutdown:
        await office.posted()
        begun = len(office.receivers.posted)
        shutdown.set()
        await trio.lowlevel.checkpoint()
        assert not service.ended.is_set()
        go.set()
        with trio.fail_after(2):
            await service.ended.wait()
    states = [state for (state,) in await office.rows("state")]
    assert states.count("delivered") == begun < 3


async def test_a_service_in_a_hurry_waits_for_nobody(office: Office) -> None:
    await office.subscribe()
    await office.emit()
    office.receivers.act = hang
    service, hurry = office.service(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run, trio.Event(), hurry)
        await office.posted()
        hurry.set()
        with trio.fail_after(1):
            await service.ended.wait()
    assert await office.rows("state") == [("pending",)]


async def test_what_waits_for_a_deleted_webhook_is_never_sent(office: Office) -> None:
    webhook_id, _ = await office.subscribe()
    await office.emit(2)
    await office.webhooks.delete(office.tenant_id, webhook_id)
    async with running(office.service()):
        await trio.sleep(0.6)
    assert await office.rows("state, error") == [("failed", "the webhook was deleted")] * 2
    assert office.receivers.posted == []
