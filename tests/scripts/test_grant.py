"""Credits given by an operator: once for each reference, never more taken than is free, nothing done in doubt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.core.identity import now_us
from app.storage import ledger, tenants
from app.storage.database import Transaction
from app.storage.migrations import migrate_job
from scripts import grant
from tests.databases import ON_BOTH, elsewhere, open_view, sqlite_url
from tests.storage.making import make_principal, open_call


@pytest.fixture
def url(database_url: str) -> str:
    """A database with the tenant Acme, who has 100 credits."""

    def make(db: Transaction) -> None:
        migrate_job(db)
        tenant_id, _ = tenants.upsert_tenant(db, "Acme", "pro", None, now_us())
        ledger.credit(db, tenant_id, "grant", 100_000_000, "start", now_us())

    elsewhere(database_url, make)
    return database_url


def give(url: str, credits: str, ref: str, *more: str, tenant: str = "Acme") -> int:
    return grant.main(["--database", url, "--tenant", tenant, "--credits", credits, "--ref", ref, *more])


def lines(url: str) -> list[tuple[Any, ...]]:
    with open_view(url) as db:
        assert ledger.broken_tenants(db) == []
        return db.all("SELECT kind, type, amount, ref, note, balance_after FROM ledger_entries ORDER BY created_at, id")


@ON_BOTH
def test_credits_are_given_once_for_each_reference(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert [give(url, "2.5", "pilot", "--note", "Pilot") for _ in range(2)] == [0, 0]
    assert lines(url)[1:] == [("grant", "admin", 2_500_000, "pilot", "Pilot", 102_500_000)]
    done = "grant pilot of Acme: 2.5 credits\nbalance: 102.5 credits\n"
    assert capsys.readouterr().out == f"{done}unchanged, since it was done before: {done}"


@ON_BOTH
def test_a_reference_stands_for_one_amount(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert give(url, "2.5", "pilot") == 0
    assert give(url, "3", "pilot") == 1
    assert "grant pilot stands for 2.5 credits already; write a new --ref" in capsys.readouterr().err
    assert len(lines(url)) == 2


@ON_BOTH
def test_refunds_and_adjustments_are_lines_of_their_own(url: str) -> None:
    assert give(url, "1", "x", "--refund") == 0
    assert give(url, "-100.5", "x", "--adjust") == 0
    assert give(url, "7", "plan:2026-11") == 0
    assert [line[:3] for line in lines(url)[1:]] == [
        ("refund", "refund", 1_000_000),
        ("adjust", "admin", -100_500_000),
        ("grant", "plan_grant", 7_000_000),
    ]


@ON_BOTH
def test_an_adjustment_takes_nothing_that_a_running_call_holds(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere(url, lambda db: open_call(db, make_principal(db, "Bolt", credit=1000), hold=400))
    assert give(url, "-0.000601", "x", "--adjust", tenant="Bolt") == 1
    assert "take at most 0.000600 credits" in capsys.readouterr().err
    assert give(url, "-0.0006", "x", "--adjust", tenant="Bolt") == 0


def test_an_adjustment_takes_no_more_than_there_is(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert give(url, "-1000.5", "all", "--adjust") == 1
    told = capsys.readouterr().err
    assert "The balance is" in told
    assert "calls" not in told


def test_an_unknown_organisation_is_given_nothing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert give(url, "1", "x", tenant="acme") == 1
    assert "there is no organisation called 'acme'" in capsys.readouterr().err
    assert len(lines(url)) == 1


@pytest.mark.parametrize("credits", ["-1", "0", "1.0000001", "1e3", "NaN", "1,000", "9999999999", ""])
def test_an_amount_that_cannot_be_given_is_refused_before_anything_is_opened(url: str, credits: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        give(url, credits, "x")
    assert len(lines(url)) == 1


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert give(sqlite_url(tmp_path / "nowhere"), "1", "x") == 1
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
