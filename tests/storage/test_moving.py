"""Moving a business from SQLite to PostgreSQL: everything arrives, and a second run writes nothing again."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import psycopg

from app.storage.database import Row, Transaction
from app.storage.moving_tables import DELETED_FROM, read_tables
from app.storage.sqlite import connect
from tests.books import faults
from tests.databases import elsewhere, open_view, sqlite_url
from tests.storage.business import Business, all_rows, make_business, one, table_names
from tests.storage.moves import go

APP = Path(__file__).resolve().parents[2] / "app"


def test_every_table_is_copied_with_all_its_columns(business: Business, target: str) -> None:
    with closing(connect(business.path)) as connection:
        tables = read_tables(connection)
    with open_view(target) as db:
        columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema() "
        there = {
            name: db.all(f"{columns} AND table_name = ? ORDER BY ordinal_position", name) for name in table_names(db)
        }
    here = {table.name: list(zip(table.columns, table.types, strict=True)) for table in tables}
    assert here | {"schema_steps": [("step", "bigint"), ("name", "text")]} == there
    assert all(table.key for table in tables)


def test_no_table_is_copied_before_one_that_it_refers_to(business: Business) -> None:
    with closing(connect(business.path)) as connection:
        tables = read_tables(connection)
    for at, table in enumerate(tables):
        assert table.parents <= {before.name for before in tables[:at]}
    assert {"calls", "api_keys"} <= {table.name for table in tables if table.parents}


def test_the_tables_that_rows_are_deleted_from_are_known() -> None:
    said = {
        name
        for path in APP.rglob("*.py")
        for name in re.findall(r'"DELETE FROM (\w+)', path.read_text(), re.IGNORECASE)
    }
    assert said == DELETED_FROM


def test_a_business_arrives_row_by_row(tmp_path: Path, target: str) -> None:
    business = make_business(sqlite_url(tmp_path), calls=1200)
    report = go(business, target)
    here, there = all_rows(business.url), all_rows(target)
    assert there == here
    assert len(here["calls"]) == 3600
    assert {row[10] for row in here["calls"]} == {"posted", "voided", "expired"}
    with open_view(target) as db:
        assert faults(db) == {}
    assert {line.table: line.rows for line in report.lines} == {name: len(rows) for name, rows in there.items()}
    sums = {line.table: line.sums for line in report.lines}
    balance = one(business.url, "SELECT SUM(balance) FROM tenants")
    assert sums["tenants"]["balance"] == sums["ledger_entries"]["amount"] == balance
    assert sums["calls"]["charge"] == one(business.url, "SELECT SUM(charge) FROM calls")


def test_a_rehearsal_copies_everything_and_leaves_the_source_as_it_was(business: Business, target: str) -> None:
    def schema(db: Transaction) -> list[Row]:
        return db.all("SELECT * FROM sqlite_master ORDER BY name")

    before = all_rows(business.url), elsewhere(business.url, schema)
    go(business, target, copy_only=True)
    assert all_rows(target) == all_rows(business.url)
    assert (all_rows(business.url), elsewhere(business.url, schema)) == before


def test_a_second_run_writes_nothing_that_is_there_already(business: Business, target: str) -> None:
    go(business, target, copy_only=True)
    versions = "SELECT xmin::text, ctid::text, id FROM calls UNION ALL SELECT xmin::text, ctid::text, id FROM users"
    with open_view(target) as db:
        before = sorted(db.all(versions))
        go(business, target)
        assert sorted(db.all(versions)) == before


def test_a_catalog_that_was_seeded_in_the_target_before_is_replaced(business: Business, target: str) -> None:
    elsewhere(target, lambda db: db.run("INSERT INTO catalog_entries VALUES ('model', 'old', 1, '{}')"))
    go(business, target)
    assert all_rows(target) == all_rows(business.url)


def test_a_role_that_no_policy_binds_is_warned_of(business: Business, target: str) -> None:
    parameters = psycopg.conninfo.conninfo_to_dict(target)
    superuser = f"postgresql://postgres@127.0.0.1:{parameters['port']}/{parameters['dbname']}"
    (warning,) = go(business, superuser, copy_only=True).warnings
    assert "does not bind the role 'postgres'" in warning
    assert go(business, target, copy_only=True).warnings == ()
