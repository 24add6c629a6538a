"""Moving while the business goes on: what changes between two runs or in the middle of one arrives, too."""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Thread

import pytest

from app.core.identity import new_uuid, now_us
from app.storage import invitations, ledger, members, moving_copy, moving_target, sessions
from app.storage.database import Transaction
from app.storage.members import StoredMember
from app.storage.moving import Progress
from app.storage.moving_tables import MoveError
from tests.databases import elsewhere, open_view
from tests.storage.business import Business, add_key, all_rows, one
from tests.storage.making import DAY_0, make_principal, make_tenant, open_call, post
from tests.storage.moves import go, once


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


def test_a_row_that_somebody_makes_in_the_target_meanwhile_is_seen(business: Business, target: str) -> None:
    tell = once("ledger_entries", lambda: elsewhere(target, lambda db: make_tenant(db, "Elsewhere Ltd")))
    with pytest.raises(MoveError, match="somebody else's"):
        go(business, target, tell)
    elsewhere(business.url, lambda db: end_a_call(db, business))


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


def test_a_key_that_is_made_in_the_middle_of_everything_arrives(business: Business, target: str) -> None:
    tell = once("calls", lambda: elsewhere(business.url, lambda db: add_key(db, business.principals[0].tenant_id, "x")))
    go(business, target, tell)
    assert one(target, "SELECT COUNT(*) FROM api_keys WHERE name = 'x'") == 1
