"""What cannot be moved is refused before anything is written, and a business that was moved is not used again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.storage.moving import Plan, move, moved_before
from app.storage.moving_tables import MoveError, read_tables
from app.storage.sqlite import connect
from tests.databases import elsewhere, sqlite_url
from tests.storage.business import Business, all_rows, one
from tests.storage.making import make_tenant
from tests.storage.moves import change, go, silent


def test_after_the_move_nothing_can_write_to_the_source_and_every_start_says_where_it_is(
    business: Business, target: str
) -> None:
    go(business, target)
    with closing(connect(business.path)) as connection:
        names = [table.name for table in read_tables(connection)]
        for name in (*names, "schema_steps"):
            row = connection.execute(f"SELECT * FROM {name}").fetchone()  # noqa: S608
            for sql in (
                f"INSERT OR REPLACE INTO {name} VALUES ({', '.join('?' * len(row))})",  # noqa: S608
                f"INSERT OR IGNORE INTO {name} VALUES ({', '.join('?' * len(row))})",  # noqa: S608
            ):
                with pytest.raises(sqlite3.IntegrityError, match="has been moved to postgresql://"):
                    connection.execute(sql, row)
            column = connection.execute(f"SELECT name FROM pragma_table_info('{name}')").fetchone()[0]  # noqa: S608
            for sql in (f"UPDATE {name} SET {column} = {column}", f"DELETE FROM {name}"):  # noqa: S608
                with pytest.raises(sqlite3.IntegrityError, match="has been moved to postgresql://"):
                    connection.execute(sql)
    where = moved_before(Plan(business.url, target))
    assert where is not None
    assert where.startswith(target)
    assert where.endswith("(2026-11-10)")
    with pytest.raises(MoveError, match="has been moved before, to postgresql://"):
        go(business, target)


def test_a_text_with_a_null_character_is_found_before_anything_is_written(business: Business, target: str) -> None:
    key_id = business.principals[0].key_id
    change(business, "UPDATE api_keys SET name = 'ma' || char(0) || 'in' WHERE id = ?", key_id)
    with pytest.raises(MoveError, match=rf"name of api_keys where id = '{key_id}'\n.*UPDATE"):
        go(business, target)
    assert not any(all_rows(target).values())
    change(business, "UPDATE api_keys SET name = 'main' WHERE id = ?", key_id)
    go(business, target)
    assert one(target, "SELECT name FROM api_keys WHERE id = ?", key_id) == "main"


@pytest.mark.parametrize(("column", "value"), [("opened_at", "'noon'"), ("rule", "x'00ff'"), ("uncollected", "0.5")])
def test_a_value_of_another_type_is_found_before_anything_is_written(
    business: Business, target: str, column: str, value: str
) -> None:
    call = one(business.url, "SELECT id FROM calls WHERE state = 'voided' LIMIT 1")
    change(business, f"UPDATE calls SET {column} = {value} WHERE id = ?", call)  # noqa: S608
    with pytest.raises(MoveError, match=rf"{column} of calls where tenant_id = '.*' and id = '{call}'"):
        go(business, target)
    assert not any(all_rows(target).values())


def test_a_database_with_the_rows_of_others_is_refused_and_left_alone(business: Business, target: str) -> None:
    elsewhere(target, lambda db: make_tenant(db, "Elsewhere Ltd"))
    before = all_rows(target)
    with pytest.raises(MoveError, match=r"is somebody else's: tenants has 1 rows .* Choose an empty database"):
        go(business, target)
    assert all_rows(target) == before


def test_books_that_do_not_balance_are_not_moved(business: Business, target: str) -> None:
    change(business, "UPDATE tenants SET balance = balance + 1 WHERE id = ?", business.principals[2].tenant_id)
    with pytest.raises(MoveError, match=f"the books of {business.principals[2].tenant_id} in sqlite.* do not balance"):
        go(business, target)
    assert not any(all_rows(target).values())


def test_schemas_that_differ_are_refused_with_what_to_run(business: Business, target: str) -> None:
    change(business, "DELETE FROM schema_steps WHERE step = (SELECT MAX(step) FROM schema_steps)")
    with pytest.raises(MoveError, match=r"another schema than .* `python -m app migrate --database URL"):
        go(business, target)


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("sqlite:////nowhere/at/all.db", "postgresql://x@127.0.0.1/x", "there is no such file"),
        ("sqlite:///a.db", "sqlite:///b.db", "There is no way from"),
        ("postgresql://u:secret@h/a", "sqlite:///b.db", r"There is no way from postgresql://u@h/a to"),
        ("postgresql://u:secret@h/a", "postgresql://h/b", "There is no way from postgresql://u@h/a"),
    ],
)
def test_a_way_that_there_is_not_is_refused(source: str, target: str, says: str) -> None:
    with pytest.raises(MoveError, match=says):
        move(Plan(source, target), silent)


def test_a_file_that_holds_no_business_is_refused(tmp_path: Path, target: str) -> None:
    connect(tmp_path / "gateway.db").close()
    with pytest.raises(MoveError, match="holds no gateway's business"):
        move(Plan(sqlite_url(tmp_path), target), silent)


@pytest.mark.parametrize("columns", ["id TEXT, note TEXT", "id INTEGER PRIMARY KEY", "id TEXT PRIMARY KEY, data BLOB"])
def test_a_table_that_is_not_the_gateways_is_named(business: Business, target: str, columns: str) -> None:
    elsewhere(business.url, lambda db: db.run(f"CREATE TABLE notes ({columns})"))
    with pytest.raises(MoveError, match="the table notes is not the gateway's own"):
        go(business, target)
