"""Moving a business from SQLite to PostgreSQL: everything arrives, whatever comes between; what cannot is refused."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
import trio

from app.core.errors import Problem
from app.core.identity import new_uuid, now_us
from app.storage import invitations, ledger, members, moving_copy, moving_source, moving_target, sessions
from app.storage.database import Database, Row, Transaction, open_database
from app.storage.members import StoredMember
from app.storage.moving import Plan, Progress, Report, move, moved_before
from app.storage.moving_source import Source
from app.storage.moving_tables import DELETED_FROM, MoveError, read_tables
from app.storage.sqlite import SqliteEngine, connect
from tests.books import faults
from tests.databases import Databases, elsewhere, open_view, sqlite_url
from tests.storage.business import Business, add_key, all_rows, make_business, one, table_names
from tests.storage.making import DAY_0, make_principal, make_tenant, open_call, post

APP = Path(__file__).resolve().parents[2] / "app"


@pytest.fixture
def business(tmp_path: Path) -> Business:
    return make_business(sqlite_url(tmp_path))


@pytest.fixture
def target(databases: Databases) -> Iterator[str]:
    with databases.open_fresh() as url:
        yield url


def silent(_: Progress) -> None:
    """Progress that nobody wants to see."""


def go(business: Business, target: str, tell: Callable[[Progress], None] = silent, **plan: Any) -> Report:
    return move(Plan(business.url, target, **{"wait_s": 0.2, **plan}), tell, lambda: DAY_0)


def change(business: Business, sql: str, *values: Any) -> None:
    assert elsewhere(business.url, lambda db: db.run(sql, *values)) > 0


def once(what: str, work: Callable[[], object]) -> Callable[[Progress], None]:
    """Progress that does `work` when `what` is told of for the first time."""
    left = [work]

    def tell(progress: Progress) -> None:
        if progress.what == what and left:
            left.pop()()

    return tell


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


def end_a_call(db: Transaction, business: Business) -> None:
    open_call(db, business.principals[0], "between")
    post(db, business.principals[0], "between")


def new_owner(db: Transaction, business: Business) -> None:
    """The old owner's row comes after the new one's: both cannot be owners in between."""
    tenant = business.principals[0].tenant_id
    db.run("UPDATE users SET role = 'agent' WHERE tenant_id = ? AND role = 'owner'", tenant)
    db.run("UPDATE users SET role = 'owner' WHERE id = (SELECT MIN(id) FROM users WHERE tenant_id = ?)", tenant)


def new_names(db: Transaction, business: Business) -> None:
    """Two tenants swap their names."""
    first, second, _ = business.principals
    db.run("UPDATE tenants SET name = 'nobody' WHERE id = ?", first.tenant_id)
    db.run("UPDATE tenants SET name = 'Acme' WHERE id = ?", second.tenant_id)
    db.run("UPDATE tenants SET name = 'Bazaar' WHERE id = ?", first.tenant_id)


def remove_member(db: Transaction, business: Business) -> str:
    """Whose sessions go too; the address."""
    tenant = business.principals[0].tenant_id
    ((user_id, email),) = db.all("SELECT id, email FROM users WHERE tenant_id = ? ORDER BY id LIMIT 1", tenant)
    sessions.close_sessions(db, tenant, user_id)
    invitations.withdraw(db, tenant, user_id)
    members.delete_member(db, tenant, user_id)
    return str(email)


def new_member(db: Transaction, business: Business) -> None:
    """Of another organisation, with the address of one who was removed; the new row comes after the old one."""
    email = remove_member(db, business)
    member = StoredMember(new_uuid(now_us()), email, "New", "", "agent", "hash", True, DAY_0, DAY_0)
    assert members.insert_member(db, business.principals[1].tenant_id, member)


BETWEEN: dict[str, Callable[[Transaction, Business], object]] = {
    "a call": end_a_call,
    "a new owner": new_owner,
    "new names": new_names,
    "a removed member": remove_member,
    "an address in new hands": new_member,
    "a new tenant": lambda db, _: make_principal(db, "Dosa"),
    "a revoked key": lambda db, _: db.run("UPDATE api_keys SET is_active = 0, version = version + 1"),
    "a grant": lambda db, business: ledger.credit(db, business.principals[1].tenant_id, "grant", 5, "gift", DAY_0),
    "a smaller catalog": lambda db, _: db.run("DELETE FROM catalog_entries WHERE place % 2 = 1"),
    "nothing held in no month": lambda db, _: db.run("UPDATE month_calls SET ended = ended + 1"),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_what_changes_between_two_runs_arrives(business: Business, target: str, what: str) -> None:
    go(business, target, copy_only=True)
    elsewhere(business.url, lambda db: BETWEEN[what](db, business))
    assert all_rows(target) != all_rows(business.url)
    go(business, target)
    assert all_rows(target) == all_rows(business.url)


@pytest.mark.parametrize("what", BETWEEN)
@pytest.mark.parametrize("after", ["tenants", "calls"])
def test_what_changes_while_it_is_copied_arrives(business: Business, target: str, what: str, after: str) -> None:
    tell = once(after, lambda: elsewhere(business.url, lambda db: BETWEEN[what](db, business)))
    go(business, target, tell)
    assert all_rows(target) == all_rows(business.url)


def test_a_row_whose_parent_came_after_its_table_had_its_turn_is_copied(business: Business, target: str) -> None:
    go(
        business,
        target,
        once("tenants", lambda: elsewhere(business.url, lambda db: make_principal(db, "Dosa"))),
    )
    assert (
        one(target, "SELECT COUNT(*) FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE t.name = 'Dosa'") == 1
    )


class Cut(BaseException):
    """The end of a run from outside, as Ctrl-C is."""


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_is_interrupted_anywhere_leaves_the_source_in_use_and_the_next_one_completes(
    business: Business, target: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving_copy, "CHUNK", 20)
    seen: list[Progress] = []
    go(business, target, seen.append, copy_only=True)
    left = random.Random(seed).randrange(len(seen))

    def tell(_: Progress) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Cut

    with open_view(target) as db:
        db.run("TRUNCATE tenants CASCADE")
    with pytest.raises(Cut):
        go(business, target, tell)
    elsewhere(business.url, lambda db: end_a_call(db, business))
    go(business, target)
    assert all_rows(target) == all_rows(business.url)


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


def test_a_row_that_somebody_makes_in_the_target_meanwhile_is_seen(business: Business, target: str) -> None:
    tell = once("ledger_entries", lambda: elsewhere(target, lambda db: make_tenant(db, "Elsewhere Ltd")))
    with pytest.raises(MoveError, match="somebody else's"):
        go(business, target, tell)
    elsewhere(business.url, lambda db: end_a_call(db, business))


def test_a_catalog_that_was_seeded_in_the_target_before_is_replaced(business: Business, target: str) -> None:
    elsewhere(target, lambda db: db.run("INSERT INTO catalog_entries VALUES ('model', 'old', 1, '{}')"))
    go(business, target)
    assert all_rows(target) == all_rows(business.url)


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


def test_a_call_that_does_not_end_is_named_and_calls_begin_again(business: Business, target: str) -> None:
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "endless"))
    with pytest.raises(MoveError, match=r"(?s)1 calls are still open after 0.2 s:\n  endless of \S+.*--force"):
        go(business, target)
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "next"))


def test_with_force_an_open_call_is_copied_held(business: Business, target: str) -> None:
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "endless"))
    report = go(business, target, force=True)
    assert report.held == 1
    assert all_rows(target) == all_rows(business.url)
    assert one(target, "SELECT state FROM calls WHERE id = 'endless'") == "held"


def test_calls_that_run_come_to_their_end_and_none_begins_meanwhile(business: Business, target: str) -> None:
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "open"))
    refused: list[str] = []

    def come_and_go() -> None:
        with pytest.raises(sqlite3.IntegrityError, match="no call may begin") as refusal:
            elsewhere(business.url, lambda db: open_call(db, business.principals[1], "too late"))
        refused.append(str(refusal.value))
        elsewhere(business.url, lambda db: post(db, business.principals[0], "open"))

    report = go(business, target, once("calls that are still open", come_and_go), wait_s=10)
    assert refused
    assert report.held == 0
    assert all_rows(target) == all_rows(business.url)
    assert one(target, "SELECT charge FROM calls WHERE id = 'open'") == 60


def test_a_call_that_begins_just_before_the_lock_is_waited_for(
    business: Business, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal = business.principals[0]
    take_lock = Source._lock
    taken = 0

    def slip_in(source: Source) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:  # the first is for the stop
            elsewhere(business.url, lambda db: db.do("DROP TRIGGER moving_stop"))
            elsewhere(business.url, lambda db: open_call(db, principal, "slipped in"))
        take_lock(source)

    monkeypatch.setattr(Source, "_lock", slip_in)
    end = once(
        "calls that are still open", lambda: elsewhere(business.url, lambda db: post(db, principal, "slipped in"))
    )
    assert go(business, target, end, wait_s=10).held == 0
    assert one(target, "SELECT charge FROM calls WHERE id = 'slipped in'") == 60


async def test_in_a_batch_of_calls_that_may_not_begin_an_ending_is_kept(business: Business) -> None:
    ours, theirs = business.principals[:2]
    elsewhere(business.url, lambda db: open_call(db, ours, "open"))
    refusals: list[Problem] = []

    async def ask(db: Database, number: int) -> None:
        with pytest.raises(Problem) as refusal:
            await db.write(theirs.tenant_id, lambda t: open_call(t, theirs, f"call{number}"), durable=False)
        refusals.append(refusal.value)

    with Source(business.path, query_only=False) as source:
        source.stop()
    engine = SqliteEngine(business.path)
    async with open_database(engine) as db, trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(ask, db, number)
            if number == 20:
                nursery.start_soon(db.write, ours.tenant_id, lambda t: post(t, ours, "open"))
    assert {problem.code for problem in refusals} == {"storage_unavailable"}
    assert all(problem.retry_after_s for problem in refusals)
    assert one(business.url, "SELECT charge FROM calls WHERE id = 'open'") == 60
    with open_view(business.url) as view:
        assert faults(view) == {}


def test_a_stop_that_nobody_renews_lifts_itself(business: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_source, "STOP_S", 1)
    with Source(business.path, query_only=False) as source:
        source.stop()

    def lifted() -> bool:
        with suppress(sqlite3.IntegrityError):
            elsewhere(business.url, lambda db: open_call(db, business.principals[0], "after"))
            return True
        return False

    refusals = 0
    while refusals < 10_000 and not lifted():
        refusals += 1
    assert 0 < refusals < 10_000


def test_a_second_move_into_the_same_database_is_refused(
    business: Business, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving_target, "OTHER_MOVE_S", 1)
    errors: list[MoveError] = []

    def move_too() -> None:
        try:
            go(business, target)
        except MoveError as error:
            errors.append(error)

    def at_the_same_time() -> None:
        other = Thread(target=move_too)
        other.start()
        other.join()

    go(business, target, once("calls", at_the_same_time))
    assert "another move into it is running" in str(errors[0])
    assert all_rows(target) == all_rows(business.url)


def test_a_connection_that_breaks_ends_the_run_and_the_next_one_completes(business: Business, target: str) -> None:
    def kick() -> None:
        with open_view(target) as db:
            db.all(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )

    with pytest.raises(MoveError, match="Nothing is lost"):
        go(business, target, once("users", kick))
    go(business, target)
    assert all_rows(target) == all_rows(business.url)


def test_a_role_that_no_policy_binds_is_warned_of(business: Business, target: str) -> None:
    parameters = psycopg.conninfo.conninfo_to_dict(target)
    superuser = f"postgresql://postgres@127.0.0.1:{parameters['port']}/{parameters['dbname']}"
    (warning,) = go(business, superuser, copy_only=True).warnings
    assert "does not bind the role 'postgres'" in warning
    assert go(business, target, copy_only=True).warnings == ()


def test_a_key_that_is_made_in_the_middle_of_everything_arrives(business: Business, target: str) -> None:
    tell = once("calls", lambda: elsewhere(business.url, lambda db: add_key(db, business.principals[0].tenant_id, "x")))
    go(business, target, tell)
    assert one(target, "SELECT COUNT(*) FROM api_keys WHERE name = 'x'") == 1
