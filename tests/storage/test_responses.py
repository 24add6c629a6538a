"""Stored responses: once each, by tenant, in conversations with bounds, until their time is over."""

from __future__ import annotations

import pytest

from app.storage import responses
from app.storage.database import Transaction
from app.storage.responses import StoredResponse
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0, make_tenant

pytestmark = ON_BOTH
ALL = 10**9


@pytest.fixture
def tenant_id(db: Transaction) -> str:
    return make_tenant(db, "Acme")


def kept(name: str, previous: str | None = None, *, expires_us: int = DAY_0 + 100) -> StoredResponse:
    return StoredResponse(name, DAY_0, expires_us, previous, f'["{name}"]', "{}", "packed")


def ids(
    db: Transaction, tenant_id: str, last: str, at_us: int = DAY_0, longest: int = ALL, largest: int = ALL
) -> list[str]:
    return [link.id for link in responses.conversation(db, tenant_id, last, at_us, longest, largest)]


def test_a_response_comes_back_as_it_was_stored_first(db: Transaction, tenant_id: str) -> None:
    responses.store(db, tenant_id, kept("a"))
    responses.store(db, tenant_id, kept("a", "later"))
    assert responses.find(db, tenant_id, "a", DAY_0) == kept("a")


def test_a_response_past_its_time_is_not_there_and_is_swept_away(db: Transaction, tenant_id: str) -> None:
    for number in range(5):
        responses.store(db, tenant_id, kept(f"r{number}", expires_us=DAY_0 + number))
    assert responses.find(db, tenant_id, "r2", DAY_0 + 2) is None
    assert responses.find(db, tenant_id, "r3", DAY_0 + 2) is not None
    assert [responses.sweep(db, DAY_0 + 2, 2) for _ in range(3)] == [2, 1, 0]
    assert db.all("SELECT id FROM responses ORDER BY id") == [("r3",), ("r4",)]


def test_a_conversation_is_read_back_to_its_beginning(db: Transaction, tenant_id: str) -> None:
    before = None
    for name in "abcd":
        responses.store(db, tenant_id, kept(name, before))
        before = name
    assert ids(db, tenant_id, "d") == ["d", "c", "b", "a"]
    assert ids(db, tenant_id, "b") == ["b", "a"]
    assert ids(db, tenant_id, "d", longest=2) == ["d", "c"]
    assert ids(db, tenant_id, "d", largest=8) == ["d", "c"]
    assert ids(db, tenant_id, "nowhere") == []


def test_a_conversation_ends_where_a_response_is_missing(db: Transaction, tenant_id: str) -> None:
    responses.store(db, tenant_id, kept("a", expires_us=DAY_0 + 1))
    responses.store(db, tenant_id, kept("b", "a"))
    (link,) = responses.conversation(db, tenant_id, "b", DAY_0 + 1, ALL, ALL)
    assert (link.id, link.previous_id) == ("b", "a")


def test_another_tenant_neither_reads_nor_continues_nor_deletes_it(db: Transaction, tenant_id: str) -> None:
    stranger = make_tenant(db, "Stranger")
    responses.store(db, tenant_id, kept("a"))
    responses.store(db, stranger, kept("b", "a"))
    assert responses.find(db, stranger, "a", DAY_0) is None
    assert ids(db, stranger, "a") == []
    assert ids(db, stranger, "b") == ["b"]
    assert not responses.delete(db, stranger, "a")
    assert responses.delete(db, tenant_id, "a")
    assert not responses.delete(db, tenant_id, "a")
