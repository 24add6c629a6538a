"""Whatever comes of whom in which order, one person ends up as one contact, and two people never as one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage.database import Transaction
from app.storage.migrations import migrate_job
from app.storage.sqlite import SqliteTransaction
from channels.conversations.contacts import find_or_make
from channels.whatsapp.updates import Person
from tests.channels.mailroom import add_number
from tests.storage.making import DAY_0, make_tenant

#: (person, what the provider says of them: the account, the phone, or both)
Said = list[tuple[int, str]]
PEOPLE = 3
accounts = count()


@pytest.fixture(scope="module")
def db() -> Iterator[Transaction]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        transaction = SqliteTransaction(connection)
        migrate_job(transaction)
        yield transaction


def person(who: int, said: str) -> Person:
    return Person(f"+{who}" if "p" in said else "", f"IN.{who}" if "u" in said else "")


@given(said=st.lists(st.tuples(st.integers(0, PEOPLE - 1), st.sampled_from(["u", "p", "up"])), max_size=20))
def test_each_person_is_one_contact_once_both_their_names_were_told_together(db: Transaction, said: Said) -> None:
    tenant_id = make_tenant(db, credit=0)
    number = add_number(db, tenant_id, account=str(next(accounts)))
    last = [(who, "up") for who in range(PEOPLE)]
    for after, (who, names) in enumerate([*said, *last]):
        find_or_make(db, tenant_id, number.id, person(who, names), DAY_0 + after)
    rows = db.all(
        "SELECT a.alias, c.id, c.user_id, c.phone FROM aliases a JOIN contacts c ON c.id = a.contact_id "
        "WHERE a.number_id = ? ORDER BY a.alias",
        number.id,
    )
    found = {alias: (contact, user_id, phone) for alias, contact, user_id, phone in rows}
    for who in range(PEOPLE):
        assert found[f"u:IN.{who}"] == found[f"p:+{who}"]
        assert found[f"u:IN.{who}"][1:] == (f"IN.{who}", f"+{who}")
    assert len({contact for contact, *_ in found.values()}) == PEOPLE
    first: dict[int, int] = {}
    for at, (who, _) in enumerate([*said, *last]):
        first.setdefault(who, at)
    for who, at in first.items():
        (created,) = db.all("SELECT created_at FROM contacts WHERE id = ?", found[f"u:IN.{who}"][0])[0]
        assert created == DAY_0 + at, "the oldest contact of a person is the one that stays"
