"""The outbox: who is told of what, who takes a delivery up, and what becomes of it."""

from __future__ import annotations

import msgspec
import pytest

from app.core.identity import new_uuid
from app.storage import deliveries, key_expiry, outbox, webhooks
from app.storage.database import Row, Transaction
from app.storage.outbox import Attempt, Taken
from app.storage.webhooks import StoredWebhook
from tests.storage.making import DAY_0, DAY_US, make_key, make_principal, make_tenant

LEASE = DAY_0 + 40_000_000
GOOD = Attempt(DAY_0 + 5, 2, 204, "", "thanks")
BAD = Attempt(DAY_0 + 5, 10_000, None, "no answer", "")


@pytest.fixture
def tenant_id(db: Transaction) -> str:
    return make_tenant(db, "Acme")


def subscribe(db: Transaction, tenant_id: str, *events: str, is_active: bool = True, at_us: int = DAY_0) -> str:
    webhook_id = new_uuid(at_us)
    url, names = f"https://{webhook_id}.example/", ",".join(events or ("*",))
    webhook = StoredWebhook(webhook_id, url, "", names, is_active, "sealed", "", 0, at_us, at_us)
    webhooks.insert_webhook(db, tenant_id, webhook)
    return webhook_id


def rows(db: Transaction, columns: str) -> list[Row]:
    return db.all(f"SELECT {columns} FROM deliveries ORDER BY id")  # noqa: S608


def due(db: Transaction, at_us: int = DAY_0) -> list[str]:
    return [queue.webhook_id for queue in outbox.queues(db, "", 100) if queue.due_us <= at_us]


def taken(db: Transaction, tenant_id: str, webhook_id: str, at_us: int = DAY_0, lease_us: int = LEASE) -> Taken:
    found = outbox.take(db, tenant_id, webhook_id, at_us, lease_us)
    assert found is not None
    return found


def test_an_event_goes_to_every_active_webhook_that_listens_for_it(db: Transaction, tenant_id: str) -> None:
    told = {subscribe(db, tenant_id, "credits.low"), subscribe(db, tenant_id, "*")}
    told.add(subscribe(db, tenant_id, "budget.alert", "credits.low"))
    subscribe(db, tenant_id, "budget.alert")
    subscribe(db, tenant_id, "credits.lower", "low")
    subscribe(db, tenant_id, "credits.low", is_active=False)
    subscribe(db, make_tenant(db, "Bolt"), "credits.low")
    assert outbox.emit(db, tenant_id, "credits.low", {}, DAY_0) == 3
    assert {row[0] for row in rows(db, "webhook_id")} == told


def test_nobody_listening_is_no_row_and_no_harm(db: Transaction, tenant_id: str) -> None:
    assert outbox.emit(db, tenant_id, "credits.low", {"balance": 1}, DAY_0) == 0
    assert rows(db, "id") == []


def test_the_body_is_the_one_of_the_contract(db: Transaction, tenant_id: str) -> None:
    webhook_id = subscribe(db, tenant_id)
    outbox.emit(db, tenant_id, "credits.low", {"name": "नमस्ते", "balance": 4.5}, DAY_0)
    body = msgspec.json.decode(taken(db, tenant_id, webhook_id).body)
    timestamp = "2026-11-10T12:00:00.000000Z"
    assert body == {"event": "credits.low", "data": {"name": "नमस्ते", "balance": 4.5}, "timestamp": timestamp}


def test_what_is_taken_up_is_nobody_elses_until_the_lease_is_over(db: Transaction, tenant_id: str) -> None:
    webhook_id = subscribe(db, tenant_id)
    outbox.emit(db, tenant_id, "credits.low", {}, DAY_0)
    first = taken(db, tenant_id, webhook_id)
    assert outbox.take(db, tenant_id, webhook_id, LEASE - 1, LEASE * 2) is None
    assert due(db, LEASE - 1) == []
    assert due(db, LEASE) == [webhook_id]
    again = taken(db, tenant_id, webhook_id, LEASE, LEASE * 2)
    assert (again.id, again.body, again.attempts) == (first.id, first.body, 0)


def test_only_who_holds_the_lease_says_how_it_ended(db: Transaction, tenant_id: str) -> None:
    webhook_id = subscribe(db, tenant_id)
    outbox.emit(db, tenant_id, "credits.low", {}, DAY_0)
    late = taken(db, tenant_id, webhook_id)
    current = taken(db, tenant_id, webhook_id, LEASE, LEASE * 2)
    assert not outbox.finish(db, tenant_id, late, GOOD, delivered=True, due_us=None)
    assert rows(db, "state, attempts") == [("pending", 0)]
    assert outbox.finish(db, tenant_id, current, GOOD, delivered=True, due_us=None)
    assert not outbox.finish(db, tenant_id, current, GOOD, delivered=True, due_us=None)
    assert rows(db, "state, attempts, status, delivered_at") == [("delivered", 1, 204, GOOD.ended_us)]
    assert deliveries.list_attempts(db, tenant_id, current.id) == [GOOD]


def test_a_failed_attempt_is_due_again_or_has_failed_for_good(db: Transaction, tenant_id: str) -> None:
    webhook_id = subscribe(db, tenant_id)
    outbox.emit(db, tenant_id, "credits.low", {}, DAY_0)
    first = taken(db, tenant_id, webhook_id)
    assert outbox.finish(db, tenant_id, first, BAD, delivered=False, due_us=DAY_0 + 9)
    assert rows(db, "state, attempts, due_at, error") == [("pending", 1, DAY_0 + 9, "no answer")]
    second = taken(db, tenant_id, webhook_id, DAY_0 + 9)
    assert outbox.finish(db, tenant_id, second, BAD, delivered=False, due_us=None)
    assert rows(db, "state, attempts, delivered_at") == [("failed", 2, None)]
    assert due(db, DAY_0 * 2) == []
    assert deliveries.list_attempts(db, tenant_id, first.id) == [BAD, BAD]


def test_a_foreign_tenant_takes_and_ends_nothing(db: Transaction, tenant_id: str) -> None:
    webhook_id, foreign = subscribe(db, tenant_id), make_tenant(db, "Bolt")
    outbox.emit(db, tenant_id, "credits.low", {}, DAY_0)
    assert outbox.take(db, foreign, webhook_id, DAY_0, LEASE) is None
    ours = taken(db, tenant_id, webhook_id)
    assert not outbox.finish(db, foreign, ours, GOOD, delivered=True, due_us=None)
    outbox.stop(db, foreign, webhook_id, "mine")
    assert rows(db, "state, error") == [("pending", "")]
    assert deliveries.find_delivery(db, foreign, webhook_id, ours.id) is None
    assert deliveries.list_deliveries(db, foreign, webhook_id, after=None, limit=9) == []
    assert deliveries.count_pending(db, foreign, webhook_id, 9) == 0


def test_looks_go_round_webhook_by_webhook_however_much_waits(db: Transaction, tenant_id: str) -> None:
    hooks = [subscribe(db, tenant_id, at_us=DAY_0 + number * 1000) for number in range(5)]
    for _ in range(3):
        outbox.emit(db, tenant_id, "credits.low", {}, DAY_0)
    taken(db, tenant_id, hooks[1])
    seen = [queue.webhook_id for queue in outbox.queues(db, "", 2)]
    seen += [queue.webhook_id for queue in outbox.queues(db, seen[-1], 2)]
    seen += [queue.webhook_id for queue in outbox.queues(db, seen[-1], 2)]
    assert seen == hooks
    assert {queue.due_us for queue in outbox.queues(db, "", 100)} == {DAY_0}
    assert outbox.queues(db, hooks[-1], 2) == []


def test_what_waits_longest_goes_first(db: Transaction, tenant_id: str) -> None:
    webhook_id = subscribe(db, tenant_id)
    for number in (2, 0, 1):
        outbox.emit(db, tenant_id, f"e{number}", {}, DAY_0 + number)
    order = [taken(db, tenant_id, webhook_id, DAY_0 + 9, LEASE + number).event for number in range(3)]
    assert order == ["e0", "e1", "e2"]


def test_an_old_secret_signs_until_its_time_is_over(db: Transaction, tenant_id: str) -> None:
    webhook_id = subscribe(db, tenant_id)
    found = webhooks.find_webhook(db, tenant_id, webhook_id)
    assert found is not None
    webhooks.update_webhook(db, tenant_id, found._replace(old_secret="old", old_secret_until_us=DAY_0 + 1))
    outbox.emit(db, tenant_id, "credits.low", {}, DAY_0)
    assert taken(db, tenant_id, webhook_id).old_secret == "old"
    assert taken(db, tenant_id, webhook_id, LEASE, LEASE + 9).old_secret == ""


def test_what_waits_for_a_webhook_that_stops_fails(db: Transaction, tenant_id: str) -> None:
    webhook_id, other = subscribe(db, tenant_id), subscribe(db, tenant_id)
    outbox.emit(db, tenant_id, "credits.low", {}, DAY_0)
    outbox.stop(db, tenant_id, webhook_id, "switched off")
    expected = [(webhook_id, "failed", "switched off"), (other, "pending", "")]
    assert sorted(rows(db, "webhook_id, state, error")) == sorted(expected)


def test_what_has_waited_for_too_long_is_given_up_in_portions(db: Transaction, tenant_id: str) -> None:
    subscribe(db, tenant_id)
    for number in range(5):
        outbox.emit(db, tenant_id, "credits.low", {}, DAY_0 + number)
    assert [deliveries.give_up(db, DAY_0 + 2, "too late", 2) for _ in range(3)] == [2, 1, 0]
    assert sorted(rows(db, "state, error")) == [("failed", "too late")] * 3 + [("pending", "")] * 2


def test_what_is_over_and_old_is_swept_away_with_its_attempts(db: Transaction, tenant_id: str) -> None:
    webhook_id = subscribe(db, tenant_id)
    for number in range(4):
        outbox.emit(db, tenant_id, "credits.low", {}, DAY_0 + number)
    for number in range(3):
        done = taken(db, tenant_id, webhook_id, DAY_0 + 9, LEASE + number)
        assert outbox.finish(db, tenant_id, done, GOOD, delivered=True, due_us=None)
    assert [deliveries.sweep(db, DAY_0 + 1, 1) for _ in range(3)] == [1, 1, 0]
    assert [deliveries.sweep(db, DAY_0 + 9, 9) for _ in range(2)] == [1, 0]
    assert rows(db, "state") == [("pending",)]
    assert db.all("SELECT delivery_id FROM delivery_attempts") == []


def test_each_expiry_of_a_key_is_told_of_once(db: Transaction) -> None:
    who = make_principal(db)
    make_key(db, who.tenant_id, "brief", expires_us=DAY_0 + 10)
    assert key_expiry.untold(db, DAY_0 + 9, 9) == []
    ((tenant, key_id),) = key_expiry.untold(db, DAY_0 + 10, 9)
    assert (tenant, key_expiry.tell(db, tenant, key_id, DAY_0 + 9)) == (who.tenant_id, None)
    told = key_expiry.tell(db, tenant, key_id, DAY_0 + 10)
    assert told is not None
    assert (told.id, told.name, told.expires_us) == (key_id, "brief", DAY_0 + 10)
    assert (key_expiry.tell(db, tenant, key_id, DAY_0 + 11), key_expiry.untold(db, DAY_0 + 11, 9)) == (None, [])
    db.run("UPDATE api_keys SET expires_at = ? WHERE id = ?", DAY_0 + 20, key_id)
    assert key_expiry.untold(db, DAY_0 + 20, 9) == [(tenant, key_id)]


def test_a_revoked_key_does_not_expire(db: Transaction) -> None:
    who = make_principal(db)
    make_key(db, who.tenant_id, "brief", expires_us=DAY_0)
    db.run("UPDATE api_keys SET is_active = 0 WHERE name = 'brief'")
    assert key_expiry.untold(db, DAY_0 + DAY_US, 9) == []


def test_a_look_costs_no_more_when_a_dead_receiver_has_much(db: Transaction, tenant_id: str) -> None:
    dead = subscribe(db, tenant_id)
    body = outbox.event_body("credits.low", {}, DAY_0)
    db.do("BEGIN")
    for _ in range(3000):
        outbox.put(db, tenant_id, dead, "credits.low", body, DAY_0)
    db.do("COMMIT")
    db.do("ANALYZE deliveries")
    if db.engine == "sqlite":
        plan = " ".join(row[3] for row in db.all(f"EXPLAIN QUERY PLAN {outbox._QUEUES}", "", 9))
        assert plan.count("deliveries_due (webhook_id") == 3
        assert "AUTOMATIC" not in plan
    else:
        plan = " ".join(row[0] for row in db.all(f"EXPLAIN {outbox._QUEUES}", "", 9))
        assert "using deliveries_due" in plan
        assert "Seq Scan on deliveries" not in plan
