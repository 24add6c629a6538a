"""Webhooks and phones in virtual time: retries, duplicates, order, the clock put forward, the long look."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock as Clock

from scripts.simulator.whatsapp.faults import Order
from scripts.simulator.whatsapp.parcels import META_PAUSES_S
from scripts.simulator.whatsapp.sayings import Saying, Shape, Who
from scripts.simulator.whatsapp.signing import meta_signature
from scripts.simulator.whatsapp.state import Pace
from tests.simulator.calling_whatsapp import (
    ASHA,
    START_S,
    Playground,
    meta_number,
    open_playground,
    text_form,
    twilio_number,
)


async def settled(seconds: float = 5.0) -> None:
    """Let this much virtual time pass."""
    await trio.sleep(seconds)


async def test_meta_tries_again_with_growing_pauses_until_200(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.gateway.statuses = [500, 503, 204, 404]
    playground.say(number, "hi")
    await settled(200)
    times = [at for at, _ in playground.gateway.taken]
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [1, 5, 15, 60]
    assert len({outgoing.body for _, outgoing in playground.gateway.taken}) == 1
    assert [(posted.attempts, posted.outcome) for posted in number.posted] == [(5, "delivered")]
    await settled(100_000)
    assert len(playground.gateway.taken) == 5


async def test_meta_gives_up_after_seven_days_and_not_before(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.gateway.statuses = [500] * 100
    playground.say(number, "hi")
    await settled(8 * 86_400)
    assert number.posted[0].outcome == "gave_up"
    assert len(playground.gateway.taken) == len(META_PAUSES_S) + 1
    assert 6.5 * 86_400 < playground.gateway.taken[-1][0] - playground.gateway.taken[0][0] < 7.5 * 86_400


async def test_the_clock_put_forward_tries_again_at_once(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.gateway.statuses = [500] * 4
    playground.say(number, "hi")
    await settled(30)
    began = trio.current_time()
    playground.phones.timeline.advance(3600)
    await trio.testing.wait_all_tasks_blocked()
    assert (len(playground.gateway.taken), trio.current_time()) == (5, began)


@pytest.mark.parametrize(
    ("fragment", "attempts"), [("", 1), ("#rc=2", 1), ("#rc=2&rp=5xx", 3), ("#rc=9&rp=all", 6), ("#rp=4xx", 1)]
)
async def test_twilio_tries_again_only_as_the_url_asks(
    autojump_clock: Clock, nursery: trio.Nursery, fragment: str, attempts: int
) -> None:
    number = twilio_number(callback_url=f"http://gateway.test/twilio{fragment}", fallback_url="http://gateway.test/b")
    playground = await open_playground(nursery, number)
    playground.gateway.statuses = [503] * attempts
    playground.say(number, "hi")
    await settled()
    urls = [outgoing.url for _, outgoing in playground.gateway.taken]
    assert urls == ["http://gateway.test/twilio"] * attempts + ["http://gateway.test/b"]
    assert playground.gateway.forms[-1]["ErrorCode"] == "11200"
    assert [posted.outcome for posted in number.posted] == ["gave_up", "delivered"]


async def test_a_message_opens_the_window_and_its_answer_is_told_in_order(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    sent_id = playground.send(number, text="hello", biz_opaque_callback_data="send-1")
    await settled()
    assert playground.gateway.statuses_told == [(sent_id, name) for name in ("sent", "delivered", "read")]
    references = {
        status.get("biz_opaque_callback_data")
        for value in playground.gateway.values
        for status in value.get("statuses", ())
    }
    assert references == {"send-1"}
    assert [item["text"] for item in number.user(ASHA.phone).inbox] == ["hello"]


@pytest.mark.parametrize(
    ("pace", "told"),
    [
        (Pace(twice=True, read_s=None), ["sent", "sent", "delivered", "delivered"]),
        (Pace(reverse=True), ["read", "delivered", "sent"]),
        (Pace(sent_s=None, delivered_s=None), ["read"]),
        (Pace(sent_s=100, delivered_s=200, read_s=300), ["sent", "delivered", "read"]),
    ],
)
async def test_statuses_come_as_the_pace_says(
    autojump_clock: Clock, nursery: trio.Nursery, pace: Pace, told: list[str]
) -> None:
    number = meta_number(pace=pace)
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    playground.send(number)
    await settled(400)
    assert [status for _, status in playground.gateway.statuses_told] == told


async def test_gathered_statuses_come_in_one_body_in_any_order(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number(pace=Pace(gather_s=2, shuffle=True))
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    ids = [playground.send(number, text=str(n)) for n in range(20)]
    await settled()
    assert len(playground.gateway.taken) == 2
    told = playground.gateway.statuses_told
    assert sorted(told) == sorted((each, name) for each in ids for name in ("sent", "delivered", "read"))
    assert told != sorted(told, key=lambda each: ids.index(each[0]))


async def test_an_order_can_lose_the_reply_and_still_tell_the_statuses(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    number.orders.waiting.append(Order("reset_accepted"))
    sent_id = playground.send(number)
    await settled()
    assert (sent_id, "delivered") in playground.gateway.statuses_told


async def test_a_batch_is_one_body_of_many_numbers_and_a_duplicate_the_same_bytes(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    numbers = [meta_number(), meta_number(account="2", business="WABA2", app_secret="other")]
    playground = await open_playground(nursery, *numbers)
    talks = [(number, ASHA, [Saying(text=str(n)) for n in range(3)]) for number in numbers]
    ids, _ = playground.phones.say(talks, Shape(batch=True, duplicate=2))
    await settled()
    bodies = [outgoing.body or b"" for _, outgoing in playground.gateway.taken]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    found = [message["id"] for value in playground.gateway.values for message in value["messages"]]
    assert found == ids * 3
    assert playground.gateway.taken[0][1].headers["x-hub-signature-256"] == meta_signature("secret", bodies[0])


@pytest.mark.parametrize("bad", [True, "missing"])
async def test_a_bad_signature_is_bad(autojump_clock: Clock, nursery: trio.Nursery, bad: Any) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.say(number, "hi", bad_signature=bad)
    await settled()
    outgoing = playground.gateway.taken[0][1]
    assert outgoing.headers.get("x-hub-signature-256") != meta_signature("secret", outgoing.body or b"")


async def test_messages_may_come_shuffled_and_from_long_ago(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    ids = playground.say(number, *map(str, range(30)), batch=True, shuffle=True, at=START_S - 90_000)
    await settled()
    found = playground.gateway.values[0]["messages"]
    assert sorted(message["id"] for message in found) == sorted(ids)
    assert [message["id"] for message in found] != ids
    assert {message["timestamp"] for message in found} == {str(int(START_S - 90_000))}
    answer = playground.phones.graph_send(
        number, b'{"messaging_product":"whatsapp","to":"+919876543210","text":{"body":"a"}}'
    )
    assert answer.status == 400


async def test_the_clock_put_forward_shuts_the_window_and_refills_the_pair(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    user = number.user(ASHA.phone)
    for _ in range(46):
        playground.send(number)
    assert number.counts["sends_refused"] == 1
    playground.phones.timeline.advance(300)
    playground.send(number)
    assert number.counts["sends_refused"] == 1
    playground.phones.timeline.advance(24 * 3600)
    playground.send(number)
    assert (number.sends[-1].code, user.received) == (131047, 46)


async def test_a_phone_is_looked_at_until_something_comes(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    look = partial(playground.phones.received, number, ASHA.phone, "")
    began = trio.current_time()
    assert await look(0, 30) == []
    assert trio.current_time() == began + 30
    playground.say(number, "hi")
    seen: list[Any] = []

    async def watch() -> None:
        seen.extend(await look(0, 30))

    async with trio.open_nursery() as watching:
        watching.start_soon(watch)
        await settled(10)
        playground.send(number, text="first")
    assert trio.current_time() < began + 45
    assert [item["text"] for item in seen] == ["first"]
    assert await look(1, 0) == []


async def test_one_message_with_both_ids_makes_one_phone_of_two(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    playground.say(number, "hi", who=Who(user_id="IN.99"))
    playground.say(number, "it is me", who=Who(phone=ASHA.phone, user_id="IN.99"))
    assert number.user(ASHA.phone) is number.user("", "IN.99")


async def test_a_link_that_cannot_be_fetched_fails_the_message(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = twilio_number(callback_url="")
    playground = await open_playground(nursery, number)
    playground.say(number, "hi")
    form = text_form("", MediaUrl="http://a.test/voice.ogg", StatusCallback="http://gateway.test/status")
    playground.gateway.statuses = [404]
    playground.phones.twilio_send(number, form)
    playground.phones.twilio_send(number, form)
    await settled()
    told = [(each.get("MessageStatus"), each.get("ErrorCode")) for each in playground.gateway.forms if each]
    assert sorted(told, key=str) == [("delivered", None), ("failed", "63019"), ("read", None), ("sent", None)]


async def test_a_number_that_never_answers_holds_no_other_up(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    dead, alive = meta_number(callback_url="http://dead.test"), meta_number(account="2")
    playground = await open_playground(nursery, dead, alive)
    playground.gateway.hangs_on = "dead.test"
    playground.say(dead, *map(str, range(100)))
    playground.say(alive, "hi")
    await settled(1)
    assert [posted.outcome for posted in alive.posted] == ["delivered"]
    assert {posted.attempts for posted in dead.posted} == {0}


async def test_one_body_waits_for_the_one_before_it_unless_they_go_together(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    number = meta_number(callback_url="http://dead.test")
    playground = await open_playground(nursery, number)
    playground.gateway.hangs_on = "dead.test"
    playground.say(number, *map(str, range(5)))
    await settled(1)
    assert playground.gateway.hanging == 1
    playground.say(number, *map(str, range(5)), together=True)
    await settled(1)
    assert playground.gateway.hanging == 6


async def test_what_is_too_much_for_a_number_is_dropped_and_said(
    autojump_clock: Clock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.simulator.whatsapp.courier.WAITING_A_NUMBER", 10)
    number = meta_number()
    playground = await open_playground(nursery, number)
    playground.say(number, *map(str, range(15)))
    await settled()
    outcomes = [posted.outcome for posted in number.posted]
    assert (outcomes.count("delivered"), outcomes.count("dropped")) == (10, 5)


async def test_verification_wants_the_challenge_back(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    number = meta_number(verify_token="v")
    playground: Playground = await open_playground(nursery, number)
    assert await playground.phones.verify(number)
    assert "hub.verify_token=v" in playground.gateway.taken[0][1].url
    playground.gateway.refuses_challenges = True
    assert not await playground.phones.verify(number)
