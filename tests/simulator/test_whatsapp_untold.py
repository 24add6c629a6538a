"""What Twilio tells nobody, and what it makes of a callback that nobody takes."""

from __future__ import annotations

import trio
from trio.testing import MockClock as Clock

from scripts.simulator.whatsapp.faults import Order
from tests.simulator.calling_whatsapp import open_playground, text_form, twilio_number

SETTLED_S = 5.0


async def test_a_link_that_cannot_be_fetched_fails_a_message_of_which_nothing_is_told(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    number = twilio_number(callback_url="")
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    number.orders.waiting.append(Order("lost"))
    playground.gateway.statuses = [404]
    playground.phones.twilio_send(number, text_form("", MediaUrl="http://a.test/voice.ogg"))
    await trio.sleep(SETTLED_S)
    assert [(sent.outcome, sent.code, sent.statuses) for sent in number.sends] == [("failed", 63019, [])]


async def test_a_status_that_is_not_taken_is_no_message_for_the_fallback_url(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    number = twilio_number(callback_url="http://gateway.test/a", fallback_url="http://gateway.test/b")
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    await trio.sleep(SETTLED_S)
    playground.gateway.statuses = [503] * 3
    form = text_form(StatusCallback="http://gateway.test/status/send-1")
    answer = playground.phones.twilio_send(number, form)
    await trio.sleep(SETTLED_S)
    assert [outgoing.url.rpartition("/")[2] for _, outgoing in playground.gateway.taken] == ["a", *["send-1"] * 3]
    assert answer.sent is not None
    assert answer.sent.reference == "send-1"
