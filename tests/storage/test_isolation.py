"""The second wall between tenants: on PostgreSQL a job sees and makes rows of its own tenant and of no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import errors

from app.storage import images, responses, tenants
from app.storage.database import EVERY_TENANT, Job, Row, Transaction
from app.storage.responses import StoredResponse
from tests.databases import ON_POSTGRES
from tests.storage.furnishing import furnish_platform
from tests.storage.making import DAY_0, DAY_US, make_image, make_principal, open_call, post
from tests.storage.writers import OnPostgres

pytestmark = ON_POSTGRES
NO_TENANT = ""


@pytest.fixture
def writer(database_url: str) -> Iterator[OnPostgres]:
    with closing(OnPostgres(database_url)) as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Table:
    """A table that belongs to tenants; `whose` is the column that says to which of them a row does."""

    name: str
    whose: str

    def job(self, sql: str, *values: object) -> Job[list[Row]]:
        text = sql.format(table=self.name, whose=self.whose)
        return lambda db: db.all(text, *values)

    def change(self, sql: str, *values: object) -> Job[int]:
        text = sql.format(table=self.name, whose=self.whose)
        return lambda db: db.run(text, *values)

    def insert(self, row: tuple[Any, ...]) -> Job[int]:
        marks = ", ".join("?" * len(row))
        return self.change(f"INSERT INTO {{table}} VALUES ({marks})", *row)  # noqa: S608


def tables(view: Transaction) -> list[Table]:
    """Found by their columns, so that a table to come is tested, too."""
    named = view.all(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'tenant_id'"
    )
    return [Table("tenants", "id"), *(Table(name, "tenant_id") for (name,) in named)]


def furnish(view: Transaction, name: str) -> str:
    """A tenant with a row in every table."""
    who = make_principal(view, name)
    open_call(view, who, f"call of {name}")
    post(view, who, f"call of {name}")
    tenants.upsert_member(view, who.tenant_id, f"owner@{name}.example", name, "owner", "hash", DAY_0)
    responses.store(view, who.tenant_id, StoredResponse("resp_1", DAY_0, DAY_0 + DAY_US, None, "[]", "{}"))
    images.store(view, who.tenant_id, make_image("img_1"))
    furnish_platform(view, who.tenant_id)
    return who.tenant_id


ALL = "SELECT {whose} FROM {table}"
ROW = "SELECT * FROM {table} WHERE {whose} = ? LIMIT 1"


def test_every_table_of_a_tenant_is_found_and_has_a_row_to_be_tested_with(writer: OnPostgres) -> None:
    tenant = furnish(writer.view, "Acme")
    found = {table.name: len(table.job(ROW, tenant)(writer.view)) for table in tables(writer.view)}
    assert set(found.values()) == {1}
    assert {"tenants", "users", "api_keys", "month_calls", "calls", "ledger_entries"} <= set(found)


def test_without_a_tenant_no_row_is_seen_and_none_can_be_made(writer: OnPostgres) -> None:
    tenant = furnish(writer.view, "Acme")
    for table in tables(writer.view):
        assert writer.run(NO_TENANT, table.job(ALL)) == [], table
        (row,) = table.job(ROW, tenant)(writer.view)
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            writer.run(NO_TENANT, table.insert(row))


def test_within_a_tenant_no_row_of_another_is_seen_or_changed(writer: OnPostgres) -> None:
    both = [furnish(writer.view, "Acme"), furnish(writer.view, "Bolt")]
    mine, theirs = both
    for table in tables(writer.view):
        for tenant in both:
            assert set(writer.run(tenant, table.job(ALL))) == {(tenant,)}, table
        for harm in ("UPDATE {table} SET {whose} = {whose} WHERE {whose} = ?", "DELETE FROM {table} WHERE {whose} = ?"):
            assert writer.run(mine, table.change(harm, theirs)) == 0, table


def test_within_a_tenant_no_row_of_another_can_be_made(writer: OnPostgres) -> None:
    mine, theirs = furnish(writer.view, "Acme"), furnish(writer.view, "Bolt")
    for table in tables(writer.view):
        (row,) = table.job(ROW, theirs)(writer.view)
        for harm in (table.insert(row), table.change("UPDATE {table} SET {whose} = ?", theirs)):
            with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
                writer.run(mine, harm)


def test_a_scope_ends_with_its_job(writer: OnPostgres) -> None:
    tenant = furnish(writer.view, "Acme")
    calls = Table("calls", "tenant_id")
    for scope, seen in ((EVERY_TENANT, [(tenant,)]), (NO_TENANT, []), (tenant, [(tenant,)]), ("ten_other", [])):
        assert writer.run(scope, calls.job(ALL)) == seen
