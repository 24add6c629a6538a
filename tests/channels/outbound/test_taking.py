"""What leaves a number next: order within a conversation, who comes first, the paces, and what may not leave."""

from __future__ import annotations

import pytest

from app.providers.whatsapp.line import TemplateContent
from app.storage import send_queue
from app.storage.database import Transaction
from app.storage.send_queue import Pace
from channels.outbound.taking import ERROR_US, OLD_US, Idle
from tests.channels.sending import HOUR, LEASE, SECOND, Shop, open_shop
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0

pytestmark = ON_BOTH
TEMPLATE = TemplateContent("hello")


@pytest.fixture
def shop(db: Transaction) -> Shop:
    return open_shop(db)


def test_what_is_taken_is_on_its_way_under_a_lease(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "hello")
    taken = shop.take_one(db)
    assert (taken.id, taken.attempt, taken.candidate.phone, taken.more) == (one, 1, "+919876543210", False)
    assert shop.rows(db, "state, attempts, lease_until, first_at") == [("sending", 1, DAY_0 + LEASE, DAY_0)]
    shop.take_nothing(db)


def test_a_part_waits_until_the_one_before_has_arrived_or_for_three_seconds(db: Transaction, shop: Shop) -> None:
    one, two = shop.say(db, "one", "two")
    shop.take_one(db)
    shop.take_nothing(db, DAY_0 + 10 * SECOND)
    shop.set(db, "sends", one, state="unknown")
    shop.take_nothing(db, DAY_0 + 10 * SECOND)
    shop.set(db, "sends", one, state="sent", accepted_at=DAY_0)
    shop.take_nothing(db, DAY_0 + 3 * SECOND - 1)
    assert shop.take_one(db, DAY_0 + 3 * SECOND).id == two


@pytest.mark.parametrize("state", ["delivered", "read", "played", "failed", "dropped"])
def test_what_has_arrived_or_ended_holds_up_nothing(db: Transaction, shop: Shop, state: str) -> None:
    (one,) = shop.say(db, "one")
    (two,) = shop.say(db, "of another turn")
    shop.set(db, "sends", one, state=state, accepted_at=DAY_0)
    assert shop.take_one(db, DAY_0).id == two


def test_one_that_is_to_be_tried_later_holds_up_those_behind_it(db: Transaction, shop: Shop) -> None:
    one, _ = shop.say(db, "one", "two")
    shop.set(db, "sends", one, due_at=DAY_0 + 8 * SECOND)
    shop.take_nothing(db, DAY_0 + 7 * SECOND)
    assert shop.take_one(db, DAY_0 + 8 * SECOND).id == one


def test_a_voice_note_holds_up_what_comes_after_it_but_not_for_ever(db: Transaction, shop: Shop) -> None:
    shop.say(db, "spoken", state="making")
    (two,) = shop.say(db, "two")
    shop.take_nothing(db)
    assert shop.take_one(db, DAY_0 + send_queue.MAKING_US).id == two


def test_conversations_do_not_wait_for_each_other(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one", "two")
    shop.open(db)
    shop.say(db, "three")
    assert [shop.take_one(db).more, shop.take_one(db).more] == [True, False]
    shop.take_nothing(db)


def test_replies_come_before_people_and_people_before_templates_and_then_age_counts(
    db: Transaction, shop: Shop
) -> None:
    expected = {}
    for place, (origin, at) in enumerate([("template", 0), ("human", 1), ("reply", 3), ("notice", 2)]):
        shop.open(db)
        part = TEMPLATE if origin == "template" else origin
        (expected[origin],) = shop.say(db, part, origin=origin, at_us=DAY_0 + at * SECOND)
        assert place < 4
    taken = [shop.take_one(db, DAY_0 + 5 * SECOND).id for _ in range(4)]
    assert taken == [expected[origin] for origin in ("notice", "reply", "human", "template")]


def test_a_number_sends_no_more_in_a_second_than_it_may(db: Transaction) -> None:
    shop = open_shop(db, per_second=20)
    for _ in range(30):
        shop.open(db)
        shop.say(db, "hello")
    now, count = DAY_0, 0
    while now < DAY_0 + SECOND:
        found = shop.take(db, now)
        if isinstance(found, Idle):
            assert found.pace
            now = found.until_us
        else:
            count += 1
    assert 18 <= count <= 20


def test_a_user_gets_no_more_than_a_pair_may_and_others_go_on(db: Transaction, shop: Shop) -> None:
    shop.set(db, "contacts", shop.contact_id, tat=DAY_0 + 44 * 6 * SECOND)
    (one,) = shop.say(db, "one")
    shop.open(db)
    (two,) = shop.say(db, "two", at_us=DAY_0)
    assert shop.take_one(db).id == two
    assert shop.rows(db, "due_at")[0] == DAY_0 + 6 * SECOND
    shop.take_nothing(db, DAY_0 + 6 * SECOND - 1)
    assert shop.take_one(db, DAY_0 + 6 * SECOND).id == one


def test_pauses_of_the_number_and_of_the_pair_hold(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one")
    send_queue.set_pace(db, shop.tenant_id, shop.number_id, Pace(0, 0, DAY_0 + SECOND, 0))
    assert shop.take_nothing(db) == DAY_0 + SECOND
    shop.set(db, "contacts", shop.contact_id, paused_until=DAY_0 + 4 * SECOND)
    shop.take_nothing(db, DAY_0 + SECOND)
    assert shop.take_one(db, DAY_0 + 4 * SECOND).id == one


def test_a_number_under_suspicion_of_spam_sends_templates_only(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    shop.open(db)
    (two,) = shop.say(db, TEMPLATE, origin="template")
    send_queue.set_pace(db, shop.tenant_id, shop.number_id, Pace(0, 0, 0, DAY_0 + HOUR))
    assert shop.take_one(db).id == two
    shop.take_nothing(db)


@pytest.mark.parametrize(("early_us", "goes"), [(60 * SECOND + 1, True), (60 * SECOND, False), (-1, False)])
def test_no_text_leaves_in_the_last_minute_of_the_window_or_after_it(
    db: Transaction, shop: Shop, early_us: int, goes: bool
) -> None:
    shop.say(db, "one", "two")
    shop.set(db, "contacts", shop.contact_id, window_until=DAY_0 + early_us)
    if goes:
        shop.take_one(db)
        return
    shop.take_nothing(db)
    assert shop.rows(db, "state, reason") == [("dropped", "window_closed")] * 2
    assert (shop.messages(db), shop.flag(db)) == (["dropped"], "window_closed")


def test_when_the_window_is_shut_the_template_goes_once(db: Transaction) -> None:
    shop = open_shop(db, config={"fallback_template": {"name": "hello"}})
    shop.set(db, "contacts", shop.contact_id, window_until=0)
    for _ in range(3):
        shop.say(db, "one")
    taken = shop.take(db)
    while isinstance(taken, Idle) and taken.until_us <= DAY_0:
        taken = shop.take(db)
    assert not isinstance(taken, Idle)
    assert taken.candidate.kind == "template"
    assert shop.rows(db) == ["dropped", "dropped", "dropped", "sending"]
    assert shop.messages(db, "content") == ["hello", "hello", "hello", "[hello]"]


@pytest.mark.parametrize("deleted", [False, True])
def test_a_bot_that_is_off_says_nothing_more_but_people_do(db: Transaction, shop: Shop, deleted: bool) -> None:
    shop.say(db, "bot")
    (two,) = shop.say(db, "person", origin="human")
    shop.set(db, "bots", shop.bot_id, **({"deleted_at": DAY_0} if deleted else {"is_active": 0}))
    shop.take(db)
    assert shop.rows(db, "state, reason")[0] == ("dropped", "bot_off")
    assert [state for state in shop.rows(db) if state == "sending"] or shop.take_one(db).id == two


def test_what_a_bot_said_an_hour_ago_is_not_sent_any_more(db: Transaction, shop: Shop) -> None:
    shop.say(db, "bot")
    shop.take_nothing(db, DAY_0 + OLD_US + 1)
    assert shop.rows(db, "state, reason") == [("dropped", "too_old")]
    assert shop.flag(db) == "too_old"


def test_at_a_number_with_an_error_things_wait_for_an_hour(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "one", origin="human")
    shop.set(db, "numbers", shop.number_id, state="error")
    assert shop.take_nothing(db, DAY_0 + OLD_US) == DAY_0 + OLD_US + ERROR_US
    assert shop.rows(db) == ["queued"]
    shop.set(db, "numbers", shop.number_id, state="connected")
    assert shop.take_one(db, DAY_0 + OLD_US).id == one
    shop.say(db, "two", origin="human")
    shop.set(db, "numbers", shop.number_id, state="error")
    shop.take_nothing(db, DAY_0 + OLD_US + 1)
    assert shop.rows(db, "state, reason")[1] == ("dropped", "number_error")


def test_a_contact_that_is_gone_gets_nothing(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    db.do("DELETE FROM contacts WHERE id = ?", shop.contact_id)
    shop.take_nothing(db)
    assert shop.rows(db) == ["failed"]


def test_a_number_that_is_gone_holds_nobody_up(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one")
    db.do("UPDATE sends SET number_id = 'gone'")
    assert send_queue.queues(db, "", 10) == []


def test_numbers_with_something_to_send_come_in_pages_whose_ever_they_are(db: Transaction, shop: Shop) -> None:
    others = [open_shop(db, f"Shop {number}", account=f"1{number}") for number in range(3)]
    for each in (shop, *others[:2]):
        each.say(db, "one", at_us=DAY_0 + SECOND)
        each.say(db, "two", at_us=DAY_0)
    first = send_queue.queues(db, "", 2)
    second = send_queue.queues(db, first[-1].number_id, 2)
    assert {(each.tenant_id, each.number_id, each.due_us) for each in (*first, *second)} == {
        (each.tenant_id, each.number_id, DAY_0) for each in (shop, *others[:2])
    }


def test_a_long_queue_of_what_may_not_go_yet_hides_nothing(db: Transaction, shop: Shop) -> None:
    for _ in range(40):
        shop.say(db, "stuck")
        shop.set(db, "contacts", shop.contact_id, paused_until=DAY_0 + HOUR)
        shop.open(db)
    (one,) = shop.say(db, "free", at_us=DAY_0)
    taken = shop.take(db)
    for _ in range(4):
        if not isinstance(taken, Idle):
            break
        assert taken == Idle(DAY_0, pace=True)
        taken = shop.take(db)
    assert not isinstance(taken, Idle)
    assert taken.id == one
