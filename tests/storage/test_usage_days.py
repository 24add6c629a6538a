"""The sums of calls by day: written with each ending, the same as adding up the calls, and seen when they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.call_facts import Measured
from app.core.identity import Principal
from app.storage import ledger, migrations, usage_days
from app.storage.database import Transaction
from app.storage.ledger import Closing
from app.storage.migrations import STEPS, migrate_job
from app.storage.usage_days import Sums
from tests.books import faults
from tests.storage.making import DAY_0, DAY_US, make_principal, open_call, post

DAY = DAY_0 // DAY_US
DONE = Closing("posted", "completed", 60, "provider_usage", "B5", "{}", DAY_0 + 2_000_000, "", Measured(7, 3))
LEFT = Closing("posted", "cancelled", 10, "usage_snapshot", "B3", "{}", DAY_0 + 500, "", Measured(7, 1))
FAILED = Closing("voided", "failed", 0, "none", "B6", "{}", DAY_0 + 300, "upstream_error")
SWEPT = Closing("expired", "interrupted", 0, "none", "B13", "", DAY_0 + DAY_US)


def end(db: Transaction, who: Principal, call_id: str, closing: Closing) -> None:
    open_call(db, who, call_id)
    ledger.end(db, who.tenant_id, call_id, closing)


def sums(db: Transaction, who: Principal, group: usage_days.Group = "key_id") -> list[tuple[object, Sums]]:
    return usage_days.sums_by(db, who.tenant_id, group, DAY, DAY)


def test_each_ending_adds_what_it_was(db: Transaction) -> None:
    who = make_principal(db)
    for call_id, closing in (("a", DONE), ("b", LEFT), ("c", FAILED), ("d", SWEPT), ("e", DONE)):
        end(db, who, call_id, closing)
    expected = Sums(
        completed=2,
        cancelled=1,
        failed=1,
        interrupted=1,
        charge=130,
        input_tokens=21,
        output_tokens=7,
        latency_us=4_000_800,
    )
    assert sums(db, who) == [(who.key_id, expected)]
    assert expected.requests == 5
    assert faults(db) == {}


def test_an_ending_that_comes_twice_counts_once(db: Transaction) -> None:
    who = make_principal(db)
    end(db, who, "a", DONE)
    ledger.end(db, who.tenant_id, "a", FAILED)
    ledger.end(db, who.tenant_id, "a", replace(DONE, cost=99))
    assert sums(db, who) == [
        (who.key_id, Sums(completed=1, charge=60, input_tokens=7, output_tokens=3, latency_us=2_000_000))
    ]


def test_a_call_counts_on_the_day_on_which_it_began_and_not_before_it_ends(db: Transaction) -> None:
    who = make_principal(db)
    open_call(db, who)
    assert sums(db, who, "day") == []
    post(db, who, at_us=DAY_0 + 3 * DAY_US)
    assert [day for day, _ in sums(db, who, "day")] == [DAY]


def test_a_clock_that_was_set_back_takes_no_time_away(db: Transaction) -> None:
    who = make_principal(db)
    end(db, who, "a", replace(DONE, at_us=DAY_0 - 5_000_000))
    assert sums(db, who)[0][1].latency_us == 0
    assert faults(db) == {}


def test_cost_that_nobody_had_credits_for_is_summed_apart(db: Transaction) -> None:
    who = make_principal(db, credit=150)
    end(db, who, "a", replace(DONE, cost=500))
    assert (sums(db, who)[0][1].charge, sums(db, who)[0][1].uncollected) == (150, 350)


def test_sums_go_by_any_dimension_and_only_over_the_days_that_were_asked_for(db: Transaction) -> None:
    who = make_principal(db)
    end(db, who, "a", DONE)
    assert [value for value, _ in sums(db, who, "model")] == ["kimi-k2.5"]
    assert [value for value, _ in sums(db, who, "category")] == ["llm"]
    assert usage_days.sums_by(db, who.tenant_id, "day", DAY + 1, DAY + 9) == []
    assert usage_days.sums_by(db, make_principal(db, "Bolt").tenant_id, "day", DAY, DAY) == []


@pytest.mark.parametrize("column", Sums._fields)
def test_a_sum_that_is_wrong_is_seen(db: Transaction, column: str) -> None:
    who = make_principal(db)
    end(db, who, "a", DONE)
    db.do(f"UPDATE usage_days SET {column} = {column} + 1")  # noqa: S608 - a name of ours
    assert "a day whose sums are not those of its calls" in faults(db)


def test_a_charge_that_is_not_in_the_sums_breaks_the_books(db: Transaction) -> None:
    who = make_principal(db)
    end(db, who, "a", DONE)
    assert not ledger.is_broken(db, who.tenant_id)
    db.do("UPDATE usage_days SET charge = charge - 1")
    assert ledger.is_broken(db, who.tenant_id)


def test_the_upgrade_adds_up_the_calls_that_are_there(empty: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
    before = next(number for number, (name, _) in enumerate(STEPS) if name.startswith("the log of calls"))
    monkeypatch.setattr(migrations, "STEPS", STEPS[:before])
    migrate_job(empty)
    empty.do("INSERT INTO tenants (id, name, plan, created_at) VALUES ('ten', 'Acme', 'pro', ?)", DAY_0)
    for call_id, state, outcome, charge, ended in (
        ("a", "posted", "completed", 60, 2_000_000),
        ("b", "posted", "cancelled", 10, 500),
        ("c", "voided", "failed", 0, -400),
        ("d", "expired", "interrupted", 0, DAY_US),
        ("e", "held", None, 0, None),
    ):
        empty.do(
            "INSERT INTO calls (tenant_id, id, key_id, request_id, endpoint, category, model, streamed, month, "
            "opened_at, hold, expires_at, state, outcome, charge, ended_at) "
            "VALUES ('ten', ?, 'key', 'req', '/v1/x', 'llm', 'kimi-k2.5', 0, '2026-11', ?, 5, 0, ?, ?, ?, ?)",
            *(call_id, DAY_0, state, outcome, charge),
            None if ended is None else DAY_0 + ended,
        )
    monkeypatch.setattr(migrations, "STEPS", STEPS)
    migrate_job(empty)
    expected = Sums(completed=1, cancelled=1, failed=1, interrupted=1, charge=70, latency_us=2_000_500)
    assert usage_days.sums_by(empty, "ten", "key_id", DAY, DAY) == [("key", expected)]
    assert "a day whose sums are not those of its calls" not in faults(empty)
