"""Lanes: when a turn may begin, and that one process at a time works on a conversation."""

from __future__ import annotations

import pytest

from app.storage import lanes
from app.storage.database import Transaction
from tests.storage.making import DAY_0, make_tenant

SECOND = 1_000_000
WAIT, MOST = SECOND, 8 * SECOND


@pytest.fixture
def tenant_id(db: Transaction) -> str:
    return make_tenant(db, "Acme")


def claim(db: Transaction, tenant_id: str, at_us: int, owner: str = "a") -> lanes.Lane | None:
    return lanes.claim(db, tenant_id, "c", owner, at_us, at_us + 60 * SECOND)


def test_a_turn_waits_for_silence_but_not_for_ever(db: Transaction, tenant_id: str) -> None:
    due = [lanes.touch(db, tenant_id, "c", DAY_0 + s * SECOND, WAIT, MOST) for s in range(10)]
    assert [(each - DAY_0) // SECOND for each in due] == [1, 2, 3, 4, 5, 6, 7, 8, 8, 9]


def test_a_choice_waits_for_nothing(db: Transaction, tenant_id: str) -> None:
    lanes.touch(db, tenant_id, "c", DAY_0, WAIT, MOST)
    assert lanes.touch(db, tenant_id, "c", DAY_0 + 1, 0, MOST) == DAY_0 + 1


def test_a_wait_that_is_longer_than_the_longest_ends_with_the_longest(db: Transaction, tenant_id: str) -> None:
    assert lanes.touch(db, tenant_id, "c", DAY_0, 10 * SECOND, 0) == DAY_0 + 10 * SECOND


def test_only_what_is_due_is_due_the_oldest_first(db: Transaction, tenant_id: str) -> None:
    other = make_tenant(db, "Bolt")
    lanes.touch(db, tenant_id, "c", DAY_0, 2 * SECOND, MOST)
    lanes.touch(db, other, "d", DAY_0, SECOND, MOST)
    lanes.touch(db, other, "e", DAY_0, 5 * SECOND, MOST)
    assert [(lane.tenant_id, lane.conversation_id) for lane in lanes.due(db, DAY_0 + 2 * SECOND, 9)] == [
        *((other, "d"), (tenant_id, "c"))
    ]
    assert lanes.next_due(db, DAY_0 + 2 * SECOND) == DAY_0 + 5 * SECOND


def test_one_claims_and_the_others_do_not_until_the_lease_is_over(db: Transaction, tenant_id: str) -> None:
    due = lanes.touch(db, tenant_id, "c", DAY_0, WAIT, MOST)
    assert claim(db, tenant_id, due - 1) is None
    assert claim(db, tenant_id, due) is not None
    assert claim(db, tenant_id, due + 1, "b") is None
    assert lanes.due(db, due + 1, 9) == []
    assert claim(db, tenant_id, due + 60 * SECOND, "b") is not None
    assert not lanes.renew(db, tenant_id, "c", "a", due + 90 * SECOND)
    assert not lanes.holds(db, tenant_id, "c", "a")
    assert lanes.holds(db, tenant_id, "c", "b")


def test_a_renewed_lease_keeps_the_others_away(db: Transaction, tenant_id: str) -> None:
    due = lanes.touch(db, tenant_id, "c", DAY_0, WAIT, MOST)
    claim(db, tenant_id, due)
    assert lanes.renew(db, tenant_id, "c", "a", due + 80 * SECOND)
    assert claim(db, tenant_id, due + 79 * SECOND, "b") is None


def test_a_lane_that_is_left_with_nothing_new_is_due_no_more(db: Transaction, tenant_id: str) -> None:
    due = lanes.touch(db, tenant_id, "c", DAY_0, WAIT, MOST)
    lane = claim(db, tenant_id, due)
    assert lane is not None
    lanes.leave(db, tenant_id, "c", "a", lane.touched)
    assert lanes.due(db, due + 99 * SECOND, 9) == []


def test_what_came_during_a_turn_makes_the_lane_due_again(db: Transaction, tenant_id: str) -> None:
    due = lanes.touch(db, tenant_id, "c", DAY_0, WAIT, MOST)
    lane = claim(db, tenant_id, due)
    assert lane is not None
    again = lanes.touch(db, tenant_id, "c", due + 20 * SECOND, WAIT, MOST)
    assert again == due + 21 * SECOND  # the longest wait counts from the first that the turn did not take up
    lanes.leave(db, tenant_id, "c", "a", lane.touched)
    assert [each.due_us for each in lanes.due(db, again, 9)] == [again]


def test_a_process_that_lost_its_lease_leaves_nothing_behind(db: Transaction, tenant_id: str) -> None:
    due = lanes.touch(db, tenant_id, "c", DAY_0, WAIT, MOST)
    claim(db, tenant_id, due)
    claim(db, tenant_id, due + 61 * SECOND, "b")
    lanes.leave(db, tenant_id, "c", "a", 99)
    assert lanes.holds(db, tenant_id, "c", "b")


def test_a_running_turn_is_told_of_every_change(db: Transaction, tenant_id: str) -> None:
    due = lanes.touch(db, tenant_id, "c", DAY_0, WAIT, MOST)
    claim(db, tenant_id, due)
    lanes.touch(db, tenant_id, "d", DAY_0, WAIT, MOST)
    assert lanes.touched(db, "a") == {"c": 1}
    lanes.nudge(db, tenant_id, "c")
    assert lanes.touched(db, "a") == {"c": 2}
    assert lanes.touched(db, "b") == {}


@pytest.mark.parametrize("sql", [lanes._TOUCHED, lanes._SILENT])
def test_what_a_process_works_on_is_found_without_a_look_at_all_that_waits(db: Transaction, sql: str) -> None:
    if db.engine == "sqlite":
        plan = " ".join(row[3] for row in db.all(f"EXPLAIN QUERY PLAN {sql}", "me"))
    else:
        db.do("SET enable_seqscan = off")
        plan = " ".join(row[0] for row in db.all(f"EXPLAIN {sql}", "me"))
    assert "lanes_owned" in plan
