"""Whether a bot answers, and what becomes of what it does not answer."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.bot_config import BotConfig
from app.storage.bots import StoredBot
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.numbers import StoredNumber
from channels.answering.deciding import HOUR_US, LOOP_TURNS, MINUTE_US, Notice, Situation, Verdict, decide, due, turn_id

NOW = 1_790_000_000_000_000
BOT = StoredBot("bot", "whatsapp", "Asha", "Be kind.", "{}", "", True, 0, 0)
CONVERSATION = StoredConversation("c", "bot", "whatsapp", "+91", "active", None, "{}", True, 0, 0)
NUMBER = StoredNumber(
    *("n", "meta", "1065", "waba", "+15550783881", "Asha & Co", "bot", "", "", "connected", "", 1, 1),
    *(True, 80, False, 0, 0),
)
CONTACT = StoredContact("u", "n", "US.1", "+919876543210", "Ravi", "c", NOW + HOUR_US, None, 0, 0, 0, "{}", 0, 0)
CONFIG = BotConfig()


def message(text: str = "hello", kind: str = "text", *, name: str = "m1", age_us: int = 0) -> StoredMessage:
    return StoredMessage(
        *(name, "c", "user", text, kind, 0, NOW - age_us), provider_us=NOW - age_us, disposition="open"
    )


def situation(*inputs: StoredMessage, **changes: Any) -> Situation:
    given: dict[str, Any] = {
        **{"now_us": NOW, "conversation": CONVERSATION, "bot": BOT, "config": CONFIG, "number": NUMBER},
        **{"contact": CONTACT, "inputs": inputs or (message(),)},
    }
    return Situation(**given | changes)


def test_what_can_be_answered_is_answered_together() -> None:
    first, second = message(name="m1"), message("and this", name="m2")
    verdict = decide(situation(first, second))
    assert verdict == Verdict(inputs=(first, second))


def test_nothing_waiting_is_nothing_to_do() -> None:
    assert decide(situation(inputs=())).inputs == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bot": None}, "bot_off"),
        ({"bot": BOT._replace(is_active=False)}, "bot_off"),
        ({"bot": BOT._replace(system_prompt=" \n")}, "no_prompt"),
        ({"number": NUMBER._replace(autoreply=False)}, "number_off"),
        ({"number": NUMBER._replace(bot_id="other")}, "number_off"),
        ({"conversation": CONVERSATION._replace(autoreply=False)}, "human"),
    ],
)
def test_a_bot_that_may_not_answer_says_nothing_at_all(changes: dict[str, Any], reason: str) -> None:
    verdict = decide(situation(**changes))
    assert verdict == Verdict(aside={"m1": reason})


@pytest.mark.parametrize("left_us", [MINUTE_US, 0, -HOUR_US])
def test_a_shut_window_lets_a_template_out_and_no_text(left_us: int) -> None:
    verdict = decide(situation(contact=CONTACT._replace(window_us=NOW + left_us)))
    assert verdict.aside == {"m1": "window_closed"}
    assert verdict.template
    assert verdict.flag == "window_closed"
    assert verdict.notices == ()


def test_a_late_answer_begins_with_an_apology_and_a_very_late_one_is_none() -> None:
    assert not decide(situation(message(age_us=15 * MINUTE_US))).late
    assert decide(situation(message(age_us=15 * MINUTE_US + 1))).late
    assert decide(situation(message(age_us=6 * HOUR_US))).late
    assert decide(situation(message(age_us=6 * HOUR_US + 1))).aside == {"m1": "too_late"}


def test_the_newest_message_says_how_late_it_is() -> None:
    assert decide(situation(message(age_us=9 * HOUR_US), message(name="m2"))).late is False


def test_two_machines_that_talk_to_each_other_are_stopped() -> None:
    verdict = decide(situation(answered_lately=LOOP_TURNS))
    assert verdict.aside == {"m1": "loop"}
    assert verdict.hand_over
    assert decide(situation(answered_lately=LOOP_TURNS - 1)).inputs


def test_bots_of_one_organisation_do_not_talk_to_each_other() -> None:
    assert decide(situation(own_phones=frozenset({CONTACT.phone}))).aside == {"m1": "loop"}


@pytest.mark.parametrize("said", ["agent", " Human ", "HUMAN!"])
def test_the_word_for_a_person_calls_one(said: str) -> None:
    verdict = decide(situation(message("hello"), message(said, name="m2")))
    assert verdict.hand_over
    assert verdict.aside == {"m1": "handoff", "m2": "handoff"}
    assert verdict.notices == (Notice("handoff", CONFIG.handoff_message),)


@pytest.mark.parametrize("said", ["agents", "is this a human?", "I want an agent"])
def test_a_sentence_with_the_word_in_it_is_for_the_model(said: str) -> None:
    assert decide(situation(message(said))).inputs


def test_what_cannot_be_read_gets_a_notice_and_the_rest_an_answer() -> None:
    verdict = decide(situation(message("", "video"), message("what is this?", name="m2")))
    assert [each.id for each in verdict.inputs] == ["m2"]
    assert verdict.aside == {"m1": "unsupported"}
    assert [notice.kind for notice in verdict.notices] == ["unsupported"]


def test_a_sticker_wants_no_answer_and_no_notice() -> None:
    verdict = decide(situation(message("", "sticker")))
    assert verdict.aside == {"m1": "unsupported"}
    assert verdict.notices == ()


def test_somebody_who_opens_the_chat_is_greeted_without_a_model() -> None:
    verdict = decide(situation(message("", "welcome"), config=BotConfig(greeting="Welcome!")))
    assert verdict.aside == {"m1": "answered"}
    assert verdict.notices == (Notice("greeting", "Welcome!"),)


def test_a_call_is_answered_in_writing() -> None:
    verdict = decide(situation(message("", "call")))
    assert [notice.kind for notice in verdict.notices] == ["calls"]


def test_an_image_is_looked_at_only_where_a_model_sees() -> None:
    picture = message("", "image")
    assert decide(situation(picture, can_see=True)).inputs == (picture,)
    assert decide(situation(picture)).aside == {"m1": "unsupported"}
    assert decide(situation(message("what is it?", "image"))).inputs


def test_a_voice_note_is_heard_only_by_a_bot_that_can() -> None:
    note = message("", "voice")
    assert decide(situation(note)).aside == {"m1": "unsupported"}
    assert decide(situation(note, config=BotConfig(stt_model="saaras:v3"))).inputs == (note,)
    assert decide(situation(note, bot=BOT._replace(type="whatsapp_voice"))).inputs == (note,)


def test_the_same_inputs_make_the_same_turn() -> None:
    first, second = message(), message(name="m2")
    assert turn_id("c", [first, second]) == turn_id("c", [first._replace(content="edited"), second])
    assert (
        len({turn_id("c", [first]), turn_id("d", [first]), turn_id("c", [second]), turn_id("c", [first, second])}) == 4
    )


def test_a_notice_comes_as_seldom_as_it_may() -> None:
    notices = [Notice("unsupported", "words"), Notice("greeting", ""), Notice("fallback", "sorry")]
    assert [each.kind for each in due(notices, {}, NOW)] == ["unsupported", "fallback"]
    sent = {"unsupported": NOW - 10 * MINUTE_US + 1, "fallback": NOW}
    assert [each.kind for each in due(notices, sent, NOW)] == ["fallback"]
    assert len(due(notices, {"unsupported": NOW - 10 * MINUTE_US}, NOW)) == 2
