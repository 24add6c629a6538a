"""Databases for measuring: believable, balanced, and never mixed with somebody's business by accident."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.storage.ledger import broken_tenants
from scripts import fill
from scripts.filling.business import NAME
from tests.books import faults
from tests.databases import ON_BOTH, elsewhere, open_view
from tests.house import add_customer

COUNT = 400
Fill = Callable[..., int]


@pytest.fixture
def run(database_url: str, capsys: pytest.CaptureFixture[str]) -> Fill:
    """Fill the database with so many rows of each kind; the exit code."""
    return lambda *options: fill.main(["--rows", str(COUNT), "--database-url", database_url, *options])


@ON_BOTH
def test_what_is_filled_is_what_was_asked_for_and_its_books_balance(run: Fill, database_url: str) -> None:
    assert run() == 0
    with open_view(database_url) as db:
        assert (broken_tenants(db), faults(db)) == ([], {})
        (tenant_id,) = (
            db.one("SELECT id FROM tenants WHERE name LIKE ? AND name NOT LIKE '%neighbour%'", f"{NAME}%") or ()
        )
        for table in ("calls", "conversations", "messages", "deliveries"):
            assert db.one(f"SELECT COUNT(*) FROM {table} WHERE tenant_id = ?", tenant_id) == (COUNT,)  # noqa: S608
        charges = db.one("SELECT COUNT(*) FROM ledger_entries WHERE tenant_id = ? AND kind = 'charge'", tenant_id)
        assert charges == db.one("SELECT COUNT(*) FROM calls WHERE tenant_id = ? AND charge > 0", tenant_id)
        assert db.one("SELECT COUNT(*) FROM tenants") == (1 + fill.NEIGHBOURS,)
        assert db.one("SELECT COUNT(*) FROM deliveries WHERE state = 'pending'") == (0,)


def test_a_database_that_was_filled_can_be_filled_again(run: Fill, database_url: str) -> None:
    assert (run(), run()) == (0, 0)
    with open_view(database_url) as db:
        assert broken_tenants(db) == []


def test_somebodys_business_is_left_alone_unless_one_insists(
    run: Fill, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    elsewhere(database_url, lambda db: add_customer(db, "Acme"))
    with open_view(database_url) as db:
        before = db.one("SELECT COUNT(*) FROM tenants")
        assert run() == 1
        assert "is somebody's: it has 'Acme'" in capsys.readouterr().err
        assert db.one("SELECT COUNT(*) FROM tenants") == before
    assert run("--yes") == 0
