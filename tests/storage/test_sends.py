"""What goes out: statuses from the provider, takeovers, what the message in the inbox and webhooks say of it."""

from __future__ import annotations

import msgspec
import pytest

from app.core.sends import State
from app.storage import contacts, send_moves, sends
from app.storage.database import Transaction
from app.storage.send_moves import Change
from channels.conversations import contents
from tests.channels.sending import SECOND, Shop, events, open_shop
from tests.databases import BROKEN_RULE
from tests.storage.making import DAY_0
from tests.storage.telling import be, listen, tell

TEMPLATE = {"fallback_template": {"name": "hello", "language": "en_US", "variables": {"1": "Asha"}}}


@pytest.fixture
def shop(db: Transaction) -> Shop:
    return open_shop(db)


def test_nothing_is_said_twice_in_a_turn(db: Transaction, shop: Shop) -> None:
    shop.say(db, "hello", turn_id="t")
    with pytest.raises(BROKEN_RULE):
        shop.say(db, "hello again", turn_id="t")


def test_the_last_number_of_a_conversation_is_told(db: Transaction, shop: Shop) -> None:
    assert sends.last_seq(db, shop.tenant_id, shop.conversation_id) == 0
    shop.say(db, "one", "two")
    assert [sends.last_seq(db, shop.tenant_id, shop.conversation_id)] == shop.rows(db, "seq")[1:]


def test_a_status_before_the_answer_is_known_by_our_reference_and_tells_the_id(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "hello")
    taken = shop.take_one(db)
    assert tell(db, shop, "delivered", reference=one)
    assert shop.rows(db, "state, provider_id, lease_until") == [("delivered", "wamid.1", 0)]
    assert shop.messages(db) == ["delivered"]
    assert shop.messages(db, "provider_id") == ["wamid.1"]
    assert taken.id == one


def test_a_status_of_a_message_that_is_not_there_yet_waits(db: Transaction, shop: Shop) -> None:
    assert not tell(db, shop, "sent", provider_id="wamid.unknown")
    assert not tell(db, shop, "sent", provider_id="", reference="")


def test_another_organisation_or_number_has_nothing_to_say(db: Transaction, shop: Shop) -> None:
    (one,) = shop.say(db, "hello")
    other = open_shop(db, "Bolt")
    assert not tell(db, other, "failed", reference=one)
    assert not tell(db, shop, "failed", reference=one, number_id=other.number_id)
    assert shop.rows(db) == ["queued"]


@pytest.mark.parametrize("late", ["sent", "accepted", "failed"])
def test_what_was_delivered_stays_so(db: Transaction, shop: Shop, late: State) -> None:
    (one,) = shop.say(db, "hello")
    be(db, shop, one, "delivered", provider_id="wamid.1")
    assert tell(db, shop, late)
    assert shop.rows(db) == ["delivered"]


def test_a_failure_takes_the_later_parts_of_its_turn_with_it_and_no_others(db: Transaction, shop: Shop) -> None:
    one, *_ = shop.say(db, "one", "two", "three")
    shop.say(db, "of another turn")
    be(db, shop, one, "accepted", provider_id="wamid.1")
    assert tell(db, shop, "failed", code="131026", error="Undeliverable")
    assert shop.rows(db, "state, reason, error") == [
        ("failed", "", "131026: Undeliverable"),
        *[("dropped", "previous_part_failed", "")] * 2,
        ("queued", "", ""),
    ]
    assert shop.messages(db) == ["failed", "queued"]


def test_a_message_is_as_far_as_its_slowest_part(db: Transaction, shop: Shop) -> None:
    one, two = shop.say(db, "one", "two")
    be(db, shop, one, "accepted", provider_id="wamid.1")
    be(db, shop, two, "accepted", provider_id="wamid.2")
    tell(db, shop, "read")
    tell(db, shop, "delivered", provider_id="wamid.2")
    assert shop.messages(db) == ["delivered"]


def test_a_window_that_turns_out_to_be_shut_drops_the_rest_and_offers_the_template_once(db: Transaction) -> None:
    shop = open_shop(db, config=TEMPLATE)
    for number in (1, 2):
        one, _ = shop.say(db, "one", "two")
        shop.say(db, "a person's words", origin="human")
        be(db, shop, one, "accepted", provider_id=f"wamid.{number}")
        assert tell(db, shop, "failed", provider_id=f"wamid.{number}", code="131047", error="Re-engagement")
        found = shop.rows(db, "state, reason, origin, kind")
        assert found.count(("queued", "", "template", "template")) == 1, "once in 24 hours"
        assert ("queued", "", "human", "text") not in found
    assert shop.flag(db) == "window_closed"
    contact = contacts.find_contact(db, shop.tenant_id, shop.contact_id)
    assert contact is not None
    assert contact.window_us == DAY_0 + SECOND
    assert msgspec.json.decode(contact.notices) == {"template": DAY_0 + SECOND}
    ((body,),) = db.all("SELECT body FROM sends WHERE kind = 'template'")
    template = contents.read("template", body)
    assert (template.name, template.language, template.variables) == ("hello", "en_US", {"1": "Asha"})  # type: ignore[union-attr]


@pytest.mark.parametrize("why", ["none set", "opted out", "a person answers", "no credits", "bot off"])
def test_the_template_is_not_offered(db: Transaction, why: str) -> None:
    shop = open_shop(db, config={} if why == "none set" else TEMPLATE)
    (one,) = shop.say(db, "one")
    if why == "opted out":
        shop.set(db, "contacts", shop.contact_id, opted_out_at=DAY_0)
    if why == "a person answers":
        shop.set(db, "conversations", shop.conversation_id, autoreply=0)
    if why == "no credits":
        db.do("UPDATE tenants SET balance = 119999 WHERE id = ?", shop.tenant_id)
    if why == "bot off":
        shop.set(db, "bots", shop.bot_id, is_active=0)
    be(db, shop, one, "accepted", provider_id="wamid.1")
    tell(db, shop, "failed", code="131047")
    assert shop.rows(db) == ["failed"]
    assert shop.flag(db) == "window_closed"


@pytest.mark.parametrize("code", ["131050", "21610"])
def test_a_user_who_wants_no_more_is_remembered(db: Transaction, shop: Shop, code: str) -> None:
    (one,) = shop.say(db, "one")
    be(db, shop, one, "accepted", provider_id="wamid.1")
    tell(db, shop, "failed", code=code)
    contact = contacts.find_contact(db, shop.tenant_id, shop.contact_id)
    assert contact is not None
    assert contact.opted_out_us == DAY_0 + SECOND


def test_a_takeover_drops_what_waits_and_stops_what_is_on_its_way_from_being_tried_again(
    db: Transaction, shop: Shop
) -> None:
    one, *_ = shop.say(db, "one", "two")
    shop.say(db, "by hand", origin="human")
    shop.say(db, "a notice", origin="notice")
    shop.take_one(db)
    dropped = sends.drop_queued(db, shop.tenant_id, shop.conversation_id, "human_takeover", DAY_0)
    assert dropped == 2
    assert shop.rows(db, "state, reason") == [
        ("sending", "human_takeover"),
        ("dropped", "human_takeover"),
        ("queued", ""),
        ("dropped", "human_takeover"),
    ]
    assert shop.messages(db) == ["sending", "queued", "dropped"]
    assert tell(db, shop, "sent", reference=one)
    assert shop.rows(db, "state, reason")[0] == ("sent", "")


def test_a_number_that_goes_takes_everything_with_it(db: Transaction, shop: Shop) -> None:
    shop.say(db, "one", origin="human")
    shop.open(db)
    shop.say(db, "two", state="making")
    assert sends.drop_of_number(db, shop.tenant_id, shop.number_id, "number_error", DAY_0) == 2
    assert shop.rows(db) == ["dropped", "dropped"]


def test_what_was_being_made_goes_out_when_it_is_there_unless_it_was_dropped(db: Transaction, shop: Shop) -> None:
    for dropped in (True, False):
        (one,) = shop.say(db, "a voice note", state="making")
        send = send_moves.find(db, shop.tenant_id, one)
        assert send is not None
        if dropped:
            sends.drop_queued(db, shop.tenant_id, shop.conversation_id, "human_takeover", DAY_0)
        made = sends.made(db, shop.tenant_id, send.message_id, 1, "media", '{"kind": "audio"}', DAY_0)
        assert made is not dropped
    assert shop.rows(db, "state, kind") == [("dropped", "text"), ("queued", "media")]


def test_what_nobody_knows_of_is_sent_again_when_somebody_wants_it(db: Transaction, shop: Shop) -> None:
    one, *_ = shop.say(db, "one", "two")
    message = send_moves.find(db, shop.tenant_id, one)
    assert message is not None
    assert sends.send_again(db, shop.tenant_id, message.message_id, DAY_0) == 0
    send_moves.move(db, shop.tenant_id, message, Change("failed", reason="unknown_outcome"), DAY_0)
    assert shop.rows(db) == ["failed", "dropped"]
    assert sends.send_again(db, shop.tenant_id, message.message_id, DAY_0) == 2
    assert shop.rows(db, "state, reason, attempts") == [("queued", "", 0)] * 2
    assert shop.take_one(db).id == one


def test_webhooks_are_told_when_a_message_is_sent_whole_arrives_and_fails(db: Transaction, shop: Shop) -> None:
    listen(db, shop.tenant_id)
    one, two = shop.say(db, "one", "two")
    be(db, shop, one, "accepted", provider_id="wamid.1")
    tell(db, shop, "sent")
    assert events(db, shop.tenant_id) == []
    tell(db, shop, "accepted", reference=two, provider_id="wamid.2")
    tell(db, shop, "delivered", at_s=2)
    tell(db, shop, "delivered", provider_id="wamid.2", at_s=2)
    tell(db, shop, "read", at_s=3)
    tell(db, shop, "read", provider_id="wamid.2", at_s=3)
    told = events(db, shop.tenant_id)
    assert [(event, data["status"]) for event, data in told] == [
        ("message.sent", "accepted"),
        ("message.status", "delivered"),
        ("message.status", "read"),
    ]
    assert told[0][1] == {
        "conversation_id": shop.conversation_id,
        "bot_id": shop.bot_id,
        "channel": "whatsapp",
        "to": "+919876543210",
        "user_id": "IN.1",
        "message_id": told[1][1]["message_id"],
        "status": "accepted",
        "type": "text",
        "text": "hello",
    }


def test_webhooks_are_told_of_a_failure_once(db: Transaction, shop: Shop) -> None:
    listen(db, shop.tenant_id)
    one, _ = shop.say(db, "one", "two")
    be(db, shop, one, "accepted", provider_id="wamid.1")
    tell(db, shop, "failed", code="131026", error="Undeliverable")
    tell(db, shop, "failed", code="131026", error="Undeliverable")
    assert [(event, data["error"]) for event, data in events(db, shop.tenant_id)] == [
        ("message.failed", "131026: Undeliverable")
    ]
