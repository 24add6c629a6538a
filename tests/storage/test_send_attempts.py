"""What is told of one of several attempts, or of a message that was given up."""

from __future__ import annotations

import pytest

from app.storage import send_moves
from app.storage.database import Transaction
from channels.outbound.outcomes import accept
from tests.channels.sending import Shop, open_shop
from tests.storage.making import DAY_0
from tests.storage.telling import be, tell


@pytest.fixture
def shop(db: Transaction) -> Shop:
    return open_shop(db)


def test_a_failure_of_an_earlier_attempt_does_not_end_the_next(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "queued", attempts=1)
    assert tell(db, shop, "failed", reference=one)
    assert shop.rows(db) == ["queued"]
    be(db, shop, one, "sending", attempts=2)
    assert not tell(db, shop, "failed", reference=one), "which attempt it is about shows when the answer is there"
    be(db, shop, one, "accepted", provider_id="wamid.2")
    assert tell(db, shop, "failed", reference=one)
    assert shop.rows(db) == ["accepted"]


def test_a_failure_of_an_earlier_attempt_says_nothing_of_one_whose_outcome_nobody_knows(
    db: Transaction, shop: Shop
) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "unknown", attempts=2)
    assert not tell(db, shop, "failed", reference=one)
    assert tell(db, shop, "delivered", provider_id="wamid.2", reference=one)
    assert shop.rows(db) == ["delivered"]


def test_a_first_attempt_that_fails_before_its_answer_has_failed(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "sending", attempts=1)
    assert tell(db, shop, "failed", reference=one)
    assert shop.rows(db) == ["failed"]


def test_what_was_given_up_comes_back_when_it_turns_out_to_have_arrived(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "failed", reason="unknown_outcome")
    assert tell(db, shop, "read", reference=one)
    assert shop.rows(db, "state, reason") == [("read", "")]


def test_what_was_given_up_and_turns_out_to_have_failed_says_why_and_is_never_accepted(
    db: Transaction, shop: Shop
) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "failed", reason="unknown_outcome", attempts=1)
    assert tell(db, shop, "failed", reference=one, provider_id="SM1", code="63024")
    assert shop.rows(db, "state, reason, error") == [("failed", "", "63024: ")]
    send = send_moves.find(db, shop.tenant_id, one)
    assert send is not None
    accept(db, shop.tenant_id, send, "SM1", DAY_0)
    assert shop.rows(db, "state, provider_id") == [("failed", "SM1")]


def test_what_was_given_up_after_several_attempts_is_not_known_by_the_failure_of_one(
    db: Transaction, shop: Shop
) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "failed", reason="unknown_outcome", attempts=2)
    assert tell(db, shop, "failed", reference=one, code="63024")
    assert shop.rows(db, "state, reason") == [("failed", "unknown_outcome")]


def test_what_was_too_old_to_be_sent_again_may_have_arrived_the_first_time(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "dropped", reason="too_old", attempts=1)
    assert tell(db, shop, "read", reference=one)
    assert shop.rows(db, "state, reason") == [("read", "")]
