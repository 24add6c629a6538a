"""What is done about one of ours that the provider refuses for good: letters, texts instead of files, templates off."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.sends import CONTENT_CODES, MEDIA_CODES, TEMPLATE_OFF_CODES, State
from app.core.times import Place
from app.providers.whatsapp.line import MediaContent, TemplateContent
from app.storage import conversations, dead_letters, fallback_template, send_moves, sends, sent_messages
from app.storage.database import Transaction
from app.storage.dead_letters import DeadLetter
from app.storage.sends import Told
from channels.outbound.taking import OLD_US
from tests.channels.sending import HOUR, SECOND, Shop, events, open_shop
from tests.storage.making import DAY_0
from tests.storage.telling import listen

NOTE = MediaContent("audio", link="https://us/1", voice=True, otherwise="in words")
TEMPLATE = {"name": "hello", "language": "en_US"}
CONFIG = {"fallback_template": TEMPLATE}


@pytest.fixture
def shop(db: Transaction) -> Shop:
    return open_shop(db, config=CONFIG)


def tell(
    db: Transaction, shop: Shop, state: State, code: str = "", *, reference: str, provider_id: str, at_s: int = 1
) -> bool:
    at_us = DAY_0 + at_s * SECOND
    told = Told(provider_id, reference, state, code, "No", at_us)
    return sends.apply_status(db, shop.tenant_id, shop.number_id, told, at_us)


def accepted(db: Transaction, shop: Shop, *parts: Any, provider_id: str = "SM.file", **more: Any) -> str:
    """The first part of a message that the provider has."""
    one, *_ = shop.say(db, *parts, **more)
    shop.take_one(db)
    assert tell(db, shop, "accepted", reference=one, provider_id=provider_id, at_s=0)
    return one


def letters(db: Transaction, shop: Shop) -> list[DeadLetter]:
    return dead_letters.page(db, shop.tenant_id, after=None, limit=10)


def texts(db: Transaction, shop: Shop) -> list[str]:
    rows = shop.rows(db, "kind, body")
    return [msgspec.json.decode(body)["body"] for kind, body in rows if kind == "text"]


def kinds(db: Transaction, shop: Shop) -> list[tuple[str, str, str]]:
    """(kind, state, reason) of every row."""
    found: list[tuple[str, str, str]] = sorted(shop.rows(db, "kind, state, reason"))
    return found


# What we wrote wrongly


@pytest.mark.parametrize("code", sorted(CONTENT_CODES))
def test_what_we_wrote_wrongly_is_a_letter_once_when_a_status_says_so(db: Transaction, shop: Shop, code: str) -> None:
    one = accepted(db, shop, "hello")
    for key in ("SM.file", "SM.file", ""):
        tell(db, shop, "failed", code, reference=one, provider_id=key)
    (letter,) = letters(db, shop)
    (message_id,) = shop.messages(db, "id")
    assert (letter.number_id, letter.provider, letter.account) == (shop.number_id, "meta", shop.number_id)
    assert (letter.message_id, letter.reason) == (message_id, f"refused: {code}: No")
    body = msgspec.json.decode(letter.body)
    assert (body["send_id"], body["kind"], body["content"]["body"]) == (one, "text", "hello")
    assert (shop.rows(db), shop.flag(db)) == (["failed"], "send_failed")


def test_another_failure_is_flagged_and_no_letter(db: Transaction, shop: Shop) -> None:
    one = accepted(db, shop, "hello")
    tell(db, shop, "failed", "131026", reference=one, provider_id="SM.file")
    assert (letters(db, shop), shop.flag(db)) == ([], "send_failed")


def test_a_failure_hides_no_other_reason_to_look(db: Transaction, shop: Shop) -> None:
    conversations.set_flag(db, shop.tenant_id, shop.conversation_id, "handoff")
    one = accepted(db, shop, "hello")
    tell(db, shop, "failed", "131026", reference=one, provider_id="SM.file")
    assert shop.flag(db) == "handoff"


def test_letters_of_everybody_come_with_names_page_by_page(db: Transaction, shop: Shop) -> None:
    other = open_shop(db, "Bolt", account="2")
    for at, tenant_id in enumerate((shop.tenant_id, other.tenant_id, "")):
        letter = DeadLetter(f"letter {at}", "", "meta", "1", "why", "b" * 900, DAY_0 + at)
        dead_letters.bury(db, tenant_id, letter)
    first = dead_letters.page_of_all(db, after=None, limit=2)
    assert [(name, letter.id, len(letter.body)) for name, letter in first] == [
        ("", "letter 2", dead_letters.SHOWN),
        ("Bolt", "letter 1", dead_letters.SHOWN),
    ]
    rest = dead_letters.page_of_all(db, after=Place(DAY_0 + 1, "letter 1"), limit=2)
    assert [(name, letter.id) for name, letter in rest] == [("Acme", "letter 0")]


# Text instead of a file


@pytest.mark.parametrize("code", sorted(MEDIA_CODES | CONTENT_CODES))
def test_a_file_that_nobody_can_have_is_replaced_by_its_text_once(db: Transaction, shop: Shop, code: str) -> None:
    one = accepted(db, shop, NOTE)
    assert tell(db, shop, "failed", code, reference=one, provider_id="SM.file")
    later: tuple[State, ...] = ("failed", "sent", "delivered", "failed", "accepted")
    for late in later:
        assert tell(db, shop, late, code, reference=one, provider_id="SM.file", at_s=2)
    assert kinds(db, shop) == [("media", "dropped", "superseded"), ("text", "queued", "")]
    assert texts(db, shop) == ["in words"]
    taken = shop.take_one(db, DAY_0 + SECOND)
    assert taken.id != one
    shop.take_nothing(db, DAY_0 + SECOND)


def test_the_text_is_told_of_by_its_own_id_and_the_file_by_none(db: Transaction, shop: Shop) -> None:
    listen(db, shop.tenant_id)
    one = accepted(db, shop, NOTE)
    tell(db, shop, "sent", reference=one, provider_id="SM.file")
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file")
    text = shop.take_one(db, DAY_0 + SECOND).id
    tell(db, shop, "accepted", reference=text, provider_id="SM.text")
    assert shop.messages(db) == ["sent"]  # as it was told: no step back
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file", at_s=3)
    tell(db, shop, "delivered", reference=text, provider_id="SM.text", at_s=3)
    assert kinds(db, shop) == [("media", "dropped", "superseded"), ("text", "delivered", "")]
    assert (shop.messages(db), shop.messages(db, "provider_id")) == (["delivered"], ["SM.text"])
    assert [event for event, _ in events(db, shop.tenant_id)] == ["message.sent", "message.status"]
    (message_id,) = shop.messages(db, "id")
    parts = sent_messages.parts_of(db, shop.tenant_id, message_id)
    assert [(part.part, part.state, part.error) for part in parts] == [
        (1, "dropped", "63019: No"),
        (1, "delivered", ""),
    ]


def test_a_status_before_the_answer_of_the_file_changes_nothing_of_that(db: Transaction, shop: Shop) -> None:
    listen(db, shop.tenant_id)
    (one,) = shop.say(db, NOTE)
    shop.take_one(db)
    assert tell(db, shop, "failed", "131053", reference=one, provider_id="wamid.file")
    text = shop.take_one(db, DAY_0 + SECOND).id
    tell(db, shop, "accepted", reference=text, provider_id="wamid.text")
    assert kinds(db, shop) == [("media", "dropped", "superseded"), ("text", "accepted", "")]
    assert [event for event, _ in events(db, shop.tenant_id)] == ["message.sent"]


def test_late_news_of_the_file_drops_nothing_behind_it(db: Transaction, shop: Shop) -> None:
    one, _ = shop.say(db, NOTE, "and more")
    shop.take_one(db)
    states: tuple[State, ...] = ("failed", "sent")
    for state in states:
        tell(db, shop, state, "131053", reference=one, provider_id="wamid.file")
    assert shop.rows(db).count("queued") == 2


def test_a_text_that_fails_too_has_failed(db: Transaction, shop: Shop) -> None:
    one = accepted(db, shop, NOTE)
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file")
    text = shop.take_one(db, DAY_0 + SECOND).id
    tell(db, shop, "accepted", reference=text, provider_id="SM.text")
    tell(db, shop, "failed", "63019", reference=text, provider_id="SM.text")
    assert kinds(db, shop) == [("media", "dropped", "superseded"), ("text", "failed", "")]
    assert (shop.messages(db), shop.flag(db)) == (["failed"], "send_failed")


def test_a_text_keeps_its_place_before_what_was_said_later(db: Transaction, shop: Shop) -> None:
    one = accepted(db, shop, NOTE)
    (later,) = shop.say(db, "later")
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file")
    first = shop.take_one(db, DAY_0 + SECOND)
    assert msgspec.json.decode(first.candidate.body) == {"body": "in words"}
    assert first.id != later


@pytest.mark.parametrize("code", ["131026", "63018", "131047"])
def test_no_text_goes_out_when_the_file_is_not_to_blame(db: Transaction, shop: Shop, code: str) -> None:
    one = accepted(db, shop, NOTE, origin="human")
    tell(db, shop, "failed", code, reference=one, provider_id="SM.file")
    assert [(kind, state) for kind, state, _ in kinds(db, shop)] == [("media", "failed")]


@pytest.mark.parametrize("why", ["no text", "taken over", "arrived"])
def test_no_text_goes_out_where_there_is_none_or_nobody_wants_it(db: Transaction, shop: Shop, why: str) -> None:
    one = accepted(db, shop, MediaContent("audio", link="https://us/1") if why == "no text" else NOTE)
    if why == "taken over":
        shop.set(db, "conversations", shop.conversation_id, autoreply=0)
    if why == "arrived":
        tell(db, shop, "delivered", reference=one, provider_id="SM.file")
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file")
    assert [(kind, state) for kind, state, _ in kinds(db, shop)] == [
        ("media", "delivered" if why == "arrived" else "failed")
    ]


def test_a_person_who_takes_over_after_that_drops_the_text(db: Transaction, shop: Shop) -> None:
    one = accepted(db, shop, NOTE)
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file")
    assert sends.drop_queued(db, shop.tenant_id, shop.conversation_id, "human_takeover", DAY_0) == 1
    assert kinds(db, shop) == [("media", "dropped", "superseded"), ("text", "dropped", "human_takeover")]


def test_the_text_does_not_go_into_a_window_that_is_shut_the_template_does(db: Transaction, shop: Shop) -> None:
    shop.set(db, "contacts", shop.contact_id, window_until=DAY_0 + 62 * SECOND)
    one = accepted(db, shop, NOTE)
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file")
    assert shop.take_one(db, DAY_0 + 3 * SECOND).candidate.kind == "template"
    assert kinds(db, shop) == [
        ("media", "dropped", "superseded"),
        ("template", "sending", ""),
        ("text", "dropped", "window_closed"),
    ]
    assert shop.flag(db) == "window_closed"


def test_a_text_is_as_old_as_what_it_is_sent_for(db: Transaction, shop: Shop) -> None:
    shop.set(db, "contacts", shop.contact_id, window_until=DAY_0 + 24 * HOUR)
    one = accepted(db, shop, NOTE)
    late_s = OLD_US // SECOND + 1
    tell(db, shop, "failed", "63019", reference=one, provider_id="SM.file", at_s=late_s)
    shop.take_nothing(db, DAY_0 + late_s * SECOND)
    assert kinds(db, shop) == [("media", "dropped", "superseded"), ("text", "dropped", "too_old")]


# Templates that are off


def refused(db: Transaction, shop: Shop, code: str = "132015", **template: Any) -> str:
    """A template of the bot's that WhatsApp has taken and then refuses."""
    content = TemplateContent(**(TEMPLATE | template))
    one = accepted(db, shop, content, origin="template", turn_id="turn:template")
    tell(db, shop, "failed", code, reference=one, provider_id="SM.file")
    return one


def shut(db: Transaction, shop: Shop) -> int:
    """How many templates wait when a reply in another conversation comes too late."""
    shop.open(db)
    shop.set(db, "contacts", shop.contact_id, window_until=0)
    (one,) = shop.say(db, "too late")
    send = send_moves.find(db, shop.tenant_id, one)
    assert send is not None
    fallback_template.shut(db, shop.tenant_id, send, DAY_0)
    return sum(row == ("template", "queued") for row in shop.rows(db, "kind, state"))


@pytest.mark.parametrize("code", sorted(TEMPLATE_OFF_CODES))
def test_a_template_that_was_refused_is_not_tried_again_until_it_is_set_again(
    db: Transaction, shop: Shop, code: str
) -> None:
    refused(db, shop, code)
    assert (shop.rows(db), shop.flag(db)) == (["failed"], "template_off")
    assert shut(db, shop) == 0
    assert shop.flag(db) == "window_closed"
    fallback_template.switch_on(db, shop.tenant_id, shop.bot_id)
    assert shut(db, shop) == 1


def test_what_waits_with_this_template_is_not_tried_either_but_what_people_send_is(db: Transaction, shop: Shop) -> None:
    content = TemplateContent(**TEMPLATE)  # type: ignore[arg-type]
    shop.open(db)
    shop.say(db, content, origin="template", turn_id="another:template", at_us=DAY_0 + SECOND)
    waits = shop.conversation_id
    shop.say(db, content, origin="template", turn_id="a person's", at_us=DAY_0 + 2 * SECOND)
    shop.open(db)
    refused(db, shop)
    found = shop.rows(db, "turn_id, state, reason, error")
    assert set(found) == {
        ("another:template", "dropped", "template_off", "132015: No"),
        ("a person's", "queued", "", ""),
        ("turn:template", "failed", "", "132015: No"),
    }
    shop.conversation_id = waits
    assert shop.flag(db) == "template_off"


@pytest.mark.parametrize("other", [{"name": "promo"}, {"language": "hi"}])
def test_another_template_is_not_the_bots(db: Transaction, shop: Shop, other: dict[str, str]) -> None:
    refused(db, shop, **other)
    assert (shop.flag(db), shut(db, shop)) == ("send_failed", 1)


def test_another_number_is_not_concerned(db: Transaction, shop: Shop) -> None:
    other = open_shop(db, "Bolt", config=CONFIG, account="2")
    refused(db, shop)
    assert (shut(db, shop), shut(db, other)) == (0, 1)
