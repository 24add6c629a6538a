"""Members, invitations, sessions, throttles in the database: an address is one tenant's, and so is a name."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from app.core.identity import Role
from app.core.limits import Rate
from app.core.times import Place
from app.storage import invitations, members, sessions, throttles
from app.storage.database import Transaction
from app.storage.invitations import StoredInvitation
from app.storage.members import StoredMember
from app.storage.sessions import StoredSession
from app.storage.throttles import THROTTLES
from tests.databases import ON_POSTGRES
from tests.storage.making import DAY_0, DAY_US, make_tenant
from tests.storage.writers import OnPostgres

MINUTE_US: Final = 60_000_000


def member(number: int, *, email: str = "", role: Role = "agent", at_us: int = DAY_0) -> StoredMember:
    return StoredMember(f"u{number}", email or f"u{number}@x.y", "U", "", role, "hash", True, at_us, at_us)


def test_an_address_is_taken_once_among_all_tenants(db: Transaction) -> None:
    acme, bolt = make_tenant(db, "Acme"), make_tenant(db, "Bolt")
    assert members.insert_member(db, acme, member(1, email="jo@x.y"))
    assert not members.insert_member(db, bolt, member(2, email="jo@x.y"))
    assert members.find_by_email(db, "jo@x.y") == (acme, member(1, email="jo@x.y"))
    assert members.find_member(db, bolt, "u1") is None


@ON_POSTGRES
def test_a_tenant_that_cannot_see_who_has_an_address_or_a_name_is_told_that_it_is_taken(database_url: str) -> None:
    with closing(OnPostgres(database_url)) as writer:
        taken = "jo@x.y"
        assert writer.run("t1", lambda db: members.insert_tenant(db, "t1", "Acme", "free", DAY_0))
        assert writer.run("t1", lambda db: members.insert_member(db, "t1", member(1, email=taken)))
        assert not writer.run("t2", lambda db: members.insert_tenant(db, "t2", "Acme", "free", DAY_0))
        assert writer.run("t2", lambda db: members.insert_tenant(db, "t2", "Bolt", "free", DAY_0))
        assert writer.run("t2", lambda db: members.find_by_email(db, taken)) is None
        assert not writer.run("t2", lambda db: members.insert_member(db, "t2", member(2, email=taken)))


def test_members_are_listed_page_by_page_newest_first(db: Transaction) -> None:
    acme = make_tenant(db, "Acme")
    for number in range(7):
        members.insert_member(db, acme, member(number, at_us=DAY_0 + number // 3))
    seen: list[str] = []
    after = None
    while page := members.list_members(db, acme, after=after, limit=2):
        seen += [each.id for each in page]
        after = Place(page[-1].created_us, page[-1].id)
    assert seen == ["u6", "u5", "u4", "u3", "u2", "u1", "u0"]
    assert members.count_members(db, acme) == 7


def test_a_newer_invitation_voids_the_older_one(db: Transaction) -> None:
    acme = make_tenant(db, "Acme")
    members.insert_member(db, acme, member(1))
    for number in (1, 2):
        invitation = StoredInvitation(f"i{number}", "u1", DAY_0, DAY_0 + DAY_US)
        invitations.replace_invitation(db, acme, invitation, f"digest {number}")
    assert invitations.find_invited(db, "digest 1", DAY_0) is None
    assert invitations.find_invited(db, "digest 2", DAY_0) == (acme, "u1")
    assert invitations.find_invited(db, "digest 2", DAY_0 + DAY_US) is None
    assert not invitations.use_invitation(db, acme, "u1", "digest 1")
    assert [invitations.use_invitation(db, acme, "u1", "digest 2") for _ in range(2)] == [True, False]


def test_the_sweep_takes_what_is_over_and_leaves_what_is_not(db: Transaction) -> None:
    acme = make_tenant(db, "Acme")
    for number in range(4):
        members.insert_member(db, acme, member(number))
        ends_us = DAY_0 + number * DAY_US
        invitation = StoredInvitation(f"i{number}", f"u{number}", DAY_0, ends_us)
        invitations.replace_invitation(db, acme, invitation, f"digest {number}")
        session = StoredSession(f"s{number}", f"u{number}", "", "", DAY_0, DAY_0, ends_us)
        sessions.open_session(db, acme, session, f"digest {number}")
    assert [invitations.sweep(db, DAY_0 + DAY_US, 1) for _ in range(3)] == [1, 1, 0]
    assert sessions.sweep(db, DAY_0 + DAY_US, 10) == 2
    assert db.all("SELECT id FROM invitations ORDER BY id") == [("i2",), ("i3",)]
    assert db.all("SELECT id FROM sessions ORDER BY id") == [("s2",), ("s3",)]


def test_a_member_keeps_their_newest_sessions(db: Transaction) -> None:
    acme = make_tenant(db, "Acme")
    for number in (1, 2):
        members.insert_member(db, acme, member(number))
    for number in range(5):
        session = StoredSession(f"s{number}", "u1", "", "", DAY_0 + number, DAY_0, DAY_0 + DAY_US)
        sessions.open_session(db, acme, session, f"digest {number}")
    sessions.open_session(db, acme, StoredSession("t", "u2", "", "", DAY_0, DAY_0, DAY_0 + DAY_US), "digest t")
    sessions.close_oldest(db, acme, "u1", 2)
    assert db.all("SELECT id FROM sessions ORDER BY id") == [("s3",), ("s4",), ("t",)]


BOTH: Final = {"wide": Rate(3), "narrow": Rate(2)}


def test_a_try_counts_in_every_bucket_or_in_none(db: Transaction) -> None:
    assert [throttles.take(db, BOTH, DAY_0) for _ in range(3)] == [0, 0, MINUTE_US // 2]
    wide = {"wide": Rate(3)}
    assert [throttles.take(db, wide, DAY_0) for _ in range(2)] == [0, MINUTE_US // 3]
    assert throttles.take(db, BOTH, DAY_0 + MINUTE_US) == 0


def test_a_bucket_is_swept_when_it_is_full_again(db: Transaction) -> None:
    throttles.take(db, BOTH, DAY_0)
    assert throttles.sweep(db, DAY_0 + MINUTE_US // 3) == 0
    assert throttles.sweep(db, DAY_0 + MINUTE_US // 3 + 1) == 1
    assert db.all("SELECT bucket FROM throttles") == [("narrow",)]


@ON_POSTGRES
def test_who_counts_tries_sees_no_tenant(database_url: str) -> None:
    with closing(OnPostgres(database_url)) as writer:
        make_tenant(writer.view, "Acme")
        assert writer.run(THROTTLES, lambda db: throttles.take(db, {"b": Rate(1)}, DAY_0)) == 0
        assert writer.run(THROTTLES, lambda db: db.all("SELECT id FROM tenants")) == []
