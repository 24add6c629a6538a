"""What becomes of a row, its number and its contact by each way in which sending ends."""

from __future__ import annotations

import pytest

from app.providers.whatsapp.line import (
    MediaContent,
    NotSent,
    OutcomeUnknown,
    RefusalKind,
    Refused,
    Sent,
    TemplateContent,
)
from app.storage import contacts, numbers, send_moves, send_queue, sends
from app.storage.database import Transaction
from app.storage.sends import Told
from channels.outbound.outcomes import UNKNOWN_US, Outcome, record, settle_unknown
from channels.outbound.taking import Taken
from tests.channels.sending import HOUR, SECOND, Shop, open_shop
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0

pytestmark = ON_BOTH


@pytest.fixture
def shop(db: Transaction) -> Shop:
    return open_shop(db)


def ends(db: Transaction, shop: Shop, taken: Taken, outcome: Outcome, at_us: int = DAY_0) -> bool:
    return record(db, shop.tenant_id, taken, outcome, at_us, 1.0)


def refusal(kind: RefusalKind) -> Refused:
    return Refused(kind, "131000", "Something")


def test_what_the_provider_has_taken_has_its_id(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    assert ends(db, shop, shop.take_one(db), Sent("wamid.1"))
    assert shop.rows(db, "state, provider_id, accepted_at, lease_until") == [("accepted", "wamid.1", DAY_0, 0)]
    assert (shop.messages(db), shop.messages(db, "provider_id")) == (["accepted"], ["wamid.1"])


def test_an_answer_after_its_status_takes_nothing_back(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    taken = shop.take_one(db)
    sends.apply_status(db, shop.tenant_id, shop.number_id, Told("wamid.1", one, "read", "", "", DAY_0), DAY_0)
    assert ends(db, shop, taken, Sent("wamid.1"))
    assert shop.rows(db, "state, provider_id") == [("read", "wamid.1")]


def test_an_answer_after_a_status_that_it_failed_only_tells_the_id(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    taken = shop.take_one(db)
    sends.apply_status(db, shop.tenant_id, shop.number_id, Told("", one, "failed", "131026", "No", DAY_0), DAY_0)
    ends(db, shop, taken, Sent("wamid.1"))
    assert shop.rows(db, "state, provider_id, error") == [("failed", "wamid.1", "131026: No")]


def test_what_may_pass_is_tried_again_after_growing_pauses_and_then_fails(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one", "two")
    now, pauses = DAY_0, []
    for _ in range(5):
        ends(db, shop, shop.take_one(db, now), refusal("transient"), now)
        (due_us,) = shop.rows(db, "due_at")[:1]
        pauses.append((due_us - now) // SECOND)
        shop.take_nothing(db, due_us - 1)
        now = due_us
    assert pauses == [1, 2, 4, 8, 16]
    ends(db, shop, shop.take_one(db, now), refusal("transient"), now)
    assert shop.rows(db, "state, reason, error") == [
        ("failed", "", "131000: Something"),
        ("dropped", "previous_part_failed", ""),
    ]
    assert (shop.messages(db), shop.flag(db)) == (["failed"], "send_failed")


@pytest.mark.parametrize("kind", ["recipient", "marketing_cap", "template", "template_off", "content", "other"])
def test_a_definite_no_is_final_and_said(db: Transaction, shop: Shop, kind: RefusalKind) -> None:
    shop.say(db, "one")
    (two,) = shop.say(db, "of another turn")
    ends(db, shop, shop.take_one(db), refusal(kind))
    assert shop.rows(db, "state, error") == [("failed", "131000: Something"), ("queued", "")]
    assert shop.take_one(db).id == two


def test_what_never_left_is_tried_again(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    ends(db, shop, shop.take_one(db), NotSent("no connection"))
    assert shop.rows(db, "state, due_at, error") == [("queued", DAY_0 + SECOND, "no connection")]


def test_an_unknown_outcome_waits_a_minute_for_a_status_and_has_then_failed(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    ends(db, shop, shop.take_one(db), OutcomeUnknown("no answer"))
    assert shop.rows(db, "state, lease_until, error") == [("unknown", DAY_0 + UNKNOWN_US, "no answer")]
    send = send_moves.find(db, shop.tenant_id, one)
    assert send is not None
    settle_unknown(db, shop.tenant_id, send, DAY_0 + UNKNOWN_US, resend=False)
    assert shop.rows(db, "state, reason, error") == [("failed", "unknown_outcome", "no answer")]
    assert shop.flag(db) == "unknown_outcome"


def test_where_it_is_wanted_an_unknown_outcome_is_sent_again_but_not_for_ever(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    for attempt in range(1, 6):
        ends(db, shop, shop.take_one(db), OutcomeUnknown("no answer"))
        send = send_moves.find(db, shop.tenant_id, one)
        assert send is not None
        settle_unknown(db, shop.tenant_id, send, DAY_0, resend=True)
        assert shop.rows(db) == ["queued" if attempt < 5 else "failed"]


def test_a_number_that_is_not_served_keeps_what_waits_and_says_why(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    ends(db, shop, shop.take_one(db), Refused("account", "190", "The token has expired."))
    number = numbers.find_number(db, shop.tenant_id, shop.number_id)
    assert number is not None
    assert (number.state, number.error) == ("error", "190: The token has expired.")
    assert shop.rows(db, "state, first_at") == [("queued", 0)]
    shop.take_nothing(db)
    shop.set(db, "numbers", shop.number_id, state="connected")
    assert shop.take_one(db).id == one


def test_a_pair_that_is_too_fast_waits_longer_each_time_until_one_is_taken(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    now = DAY_0
    for pause in (1, 4, 16):
        ends(db, shop, shop.take_one(db, now), refusal("pair_rate"), now)
        now += pause * SECOND
        shop.take_nothing(db, now - 1)
    ends(db, shop, shop.take_one(db, now), Sent("wamid.1"), now)
    contact = contacts.find_contact(db, shop.tenant_id, shop.contact_id)
    assert contact is not None
    assert contact.backoff == 0


def test_a_pair_that_is_too_fast_holds_up_no_other(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    taken = shop.take_one(db)
    shop.open(db)
    (two,) = shop.say(db, "two")
    ends(db, shop, taken, refusal("pair_rate"))
    assert shop.take_one(db).id == two


def test_of_many_that_were_too_fast_together_one_slows_the_number_down(db: Transaction, shop: Shop) -> None:
    under_way = []
    for _ in range(5):
        shop.say(db, "one")
        under_way.append(shop.take_one(db))
        shop.open(db)
    for taken in under_way:
        ends(db, shop, taken, refusal("number_rate"))
    pace = send_queue.pace(db, shop.tenant_id, shop.number_id)
    assert (pace.slow_us, pace.paused_us) == (2 * 13_889, DAY_0 + SECOND)
    shop.take_nothing(db, DAY_0 + SECOND - 1)
    ends(db, shop, shop.take_one(db, DAY_0 + SECOND), refusal("number_rate"), DAY_0 + SECOND)
    assert send_queue.pace(db, shop.tenant_id, shop.number_id).slow_us == 4 * 13_889


@pytest.mark.parametrize(("kind", "seconds"), [("app_rate", 1), ("maintenance", 60), ("deleting", 300)])
def test_what_is_wrong_with_the_whole_number_pauses_all_of_it(
    db: Transaction, shop: Shop, kind: RefusalKind, seconds: int
) -> None:
    shop.say(db, "one")
    taken = shop.take_one(db)
    shop.open(db)
    shop.say(db, "two")
    ends(db, shop, taken, refusal(kind))
    assert shop.take_nothing(db) == DAY_0 + seconds * SECOND
    shop.take_one(db, DAY_0 + seconds * SECOND)


def test_a_suspicion_of_spam_stops_everything_but_templates_for_an_hour_and_is_shown(
    db: Transaction, shop: Shop
) -> None:
    shop.say(db, "one", origin="human")
    ends(db, shop, shop.take_one(db), refusal("spam"))
    shop.open(db)
    (two,) = shop.say(db, TemplateContent("hello"), origin="template")
    assert shop.take_one(db).id == two
    shop.take_nothing(db, DAY_0 + HOUR - 1)
    number = numbers.find_number(db, shop.tenant_id, shop.number_id)
    assert number is not None
    assert (number.state, number.error) == ("connected", "131000: Something")
    shop.take_one(db, DAY_0 + HOUR)


def test_a_window_that_the_provider_says_is_shut_is_shut(db: Transaction) -> None:
    shop = open_shop(db, config={"fallback_template": {"name": "hello"}})
    shop.say(db, "one", "two")
    ends(db, shop, shop.take_one(db), Refused("window", "131047", "Re-engagement"))
    assert shop.rows(db, "state, reason, kind") == [
        ("failed", "window_closed", "text"),
        ("dropped", "previous_part_failed", "text"),
        ("queued", "", "template"),
    ]
    contact = contacts.find_contact(db, shop.tenant_id, shop.contact_id)
    assert contact is not None
    assert contact.window_us == DAY_0


def test_a_user_who_wants_no_more_is_remembered(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    ends(db, shop, shop.take_one(db), refusal("opted_out"))
    contact = contacts.find_contact(db, shop.tenant_id, shop.contact_id)
    assert contact is not None
    assert contact.opted_out_us == DAY_0
    assert shop.rows(db) == ["failed"]


@pytest.mark.parametrize("known", [True, False])
def test_what_needs_a_phone_number_goes_to_it_once_it_is_known(db: Transaction, shop: Shop, known: bool) -> None:
    shop.open(db, phone="")
    shop.say(db, "one")
    taken = shop.take_one(db)
    if known:
        shop.set(db, "contacts", shop.contact_id, phone="+91")
    ends(db, shop, taken, refusal("needs_phone"))
    assert shop.rows(db) == ["queued" if known else "failed"]


def test_a_file_is_tried_twice_and_then_its_text_is_sent(db: Transaction, shop: Shop) -> None:
    shop.say(db, MediaContent("audio", media_id="1", voice=True, otherwise="in words"))
    ends(db, shop, shop.take_one(db), refusal("media"))
    ends(db, shop, shop.take_one(db, DAY_0 + SECOND), refusal("media"), DAY_0 + SECOND)
    taken = shop.take_one(db, DAY_0 + SECOND)
    assert (taken.candidate.kind, '"in words"' in taken.candidate.body) == ("text", True)


def test_what_was_taken_over_while_on_its_way_is_not_tried_again(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    taken = shop.take_one(db)
    sends.drop_queued(db, shop.tenant_id, shop.conversation_id, "human_takeover", DAY_0)
    ends(db, shop, taken, refusal("transient"))
    assert shop.rows(db, "state, reason") == [("dropped", "human_takeover")]


@pytest.mark.parametrize("outcome", [refusal("transient"), NotSent("x"), OutcomeUnknown("x")])
def test_an_attempt_that_is_not_the_last_one_changes_nothing(db: Transaction, shop: Shop, outcome: Outcome) -> None:
    (one,) = shop.say(db, "one")
    old = shop.take_one(db)
    shop.set(db, "sends", one, state="queued")
    shop.take_one(db)
    before = shop.rows(db, "state, attempts, error")
    assert not ends(db, shop, old, outcome)
    assert shop.rows(db, "state, attempts, error") == before


def test_an_attempt_that_is_not_the_last_one_but_was_taken_counts(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    old = shop.take_one(db)
    shop.set(db, "sends", one, state="queued")
    assert ends(db, shop, old, Sent("wamid.1"))
    assert shop.rows(db) == ["accepted"]
