"""The service that sends, in virtual time: pace, order, room for everybody, pauses, and the end of a process."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from app.providers.whatsapp.line import Letter, NotSent, OutcomeUnknown, Recipient, Refused, Sent, TextContent
from app.storage import numbers, sends
from app.storage.database import Transaction
from app.storage.sends import Told
from channels.bell import Bell
from channels.conversations import contents
from channels.outbound.senders import DRAIN_S, LATE, MOST_OF_NUMBER, SEND_S
from tests.channels.sending import Shop, Street, open_shop, running, states
from tests.storage.making import DAY_0


async def test_what_is_queued_is_sent_once_with_our_reference(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    (one,) = await street.do(lambda db: shop.say(db, "hello"))
    async with running(street.senders()):
        await trio.sleep(5)
    assert street.provider.letters == [
        Letter(Recipient("+919876543210", "IN.1"), TextContent("hello"), one),
    ]
    assert await states(street, shop, "state, provider_id") == [("accepted", f"wamid.{one}")]


async def test_a_bell_brings_it_out_at_once(autojump_clock: MockClock, street: Street, shop: Shop) -> None:
    bell = Bell()
    async with running(street.senders(bell=bell)):
        await trio.sleep(10.1)
        await street.do(lambda db: shop.say(db, "hello", at_us=street.clock()))
        began = trio.current_time()
        bell.ring()
        await trio.sleep(1)
    assert street.provider.times[0] - began < 0.01


async def test_the_parts_of_a_message_go_out_in_order_three_seconds_apart(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    await street.do(lambda db: shop.say(db, "one", "two", "three"))
    async with running(street.senders()):
        await trio.sleep(10)
    assert street.provider.texts == ["one", "two", "three"]
    gaps = [later - sooner for sooner, later in pairwise(street.provider.times)]
    assert all(3 <= gap <= 3.5 for gap in gaps), gaps


async def test_a_part_follows_at_once_when_the_one_before_has_arrived(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    bell = Bell()
    one, _ = await street.do(lambda db: shop.say(db, "one", "two"))
    async with running(street.senders(bell=bell)):
        await trio.sleep(1)
        told = Told(f"wamid.{one}", one, "delivered", "", "", DAY_0)
        await street.do(lambda db: sends.apply_status(db, shop.tenant_id, shop.number_id, told, street.clock()))
        bell.ring()
        await trio.sleep(0.1)
    assert street.provider.texts == ["one", "two"]


async def test_a_reply_is_not_sent_into_a_window_that_shuts_while_it_waits(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    await street.do(lambda db: shop.set(db, "contacts", shop.contact_id, window_until=DAY_0 + 62_000_000))
    await street.do(lambda db: shop.say(db, "one", "two"))
    async with running(street.senders()):
        await trio.sleep(20)
    assert street.provider.texts == ["one"]
    assert await states(street, shop, "state, reason") == [("accepted", ""), ("dropped", "window_closed")]


async def test_many_leave_a_number_at_its_pace(autojump_clock: MockClock, street: Street) -> None:
    shop = await street.do(lambda db: open_shop(db, "Busy", per_second=20))

    def fill(db: Transaction) -> None:
        for _ in range(60):
            shop.open(db)
            shop.say(db, "hello")

    await street.do(fill)
    async with running(street.senders()):
        await trio.sleep(4)
    times = street.provider.times
    assert len(times) == 60
    assert max(sum(start <= time < start + 1 for time in times) for start in times) <= 20
    assert times[-1] - times[0] < 3.6, "nor much slower than it may"


async def test_a_dead_number_holds_up_no_other_and_takes_one_place_from_then_on(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    other = await street.do(lambda db: open_shop(db, "Bolt"))

    async def act(letter: Letter) -> Sent:
        if letter.content == TextContent("dead"):
            await trio.sleep_forever()
        return Sent(f"wamid.{letter.reference}")

    street.provider.act = act

    def fill(db: Transaction) -> None:
        for _ in range(60):
            shop.open(db)
            shop.say(db, "dead")
            other.open(db)
            other.say(db, "alive")

    await street.do(fill)
    async with running(street.senders()):
        await trio.sleep(2)
        assert set(await states(street, other)) == {"accepted"}
        assert street.provider.most[shop.number_id] == MOST_OF_NUMBER
        await trio.sleep(SEND_S)
        assert street.provider.now[shop.number_id] <= 1
    assert ("unknown", LATE) in await states(street, shop, "state, error")


async def test_a_refusal_that_may_pass_is_tried_until_it_does(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    async def act(letter: Letter) -> Sent:
        if len(street.provider.letters) < 4:
            raise Refused("transient", "131000", "Something went wrong")
        return Sent("wamid.1")

    street.provider.act = act
    await street.do(lambda db: shop.say(db, "hello"))
    async with running(street.senders()):
        await trio.sleep(20)
    times = street.provider.times
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert [round(gap) for gap in gaps] == [1, 2, 4]
    assert await states(street, shop) == ["accepted"]


@pytest.mark.parametrize("failure", [NotSent("no connection"), Refused("pair_rate", "131056", "Too fast")])
async def test_what_did_not_leave_goes_out_later(
    autojump_clock: MockClock, street: Street, shop: Shop, failure: Exception
) -> None:
    async def act(letter: Letter) -> Sent:
        if len(street.provider.letters) < 3:
            raise failure
        return Sent("wamid.1")

    street.provider.act = act
    await street.do(lambda db: shop.say(db, "hello"))
    async with running(street.senders()):
        await trio.sleep(20)
    assert await states(street, shop, "state, attempts") == [("accepted", 3)]


@pytest.mark.parametrize("failure", [OutcomeUnknown("reset"), KeyError("a bug of ours")])
async def test_what_may_have_arrived_is_not_sent_again(
    autojump_clock: MockClock, street: Street, shop: Shop, failure: Exception
) -> None:
    async def act(_letter: Letter) -> Sent:
        raise failure

    street.provider.act = act
    await street.do(lambda db: shop.say(db, "hello", "behind it"))
    async with running(street.senders()):
        await trio.sleep(100)
    assert len(street.provider.letters) == 1
    assert await states(street, shop) == ["unknown", "queued"]


async def test_a_number_whose_secrets_cannot_be_read_says_so_and_goes_on_when_they_can(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    street.provider.sealed.add(shop.number_id)
    await street.do(lambda db: shop.say(db, "hello"))
    async with running(street.senders()):
        await trio.sleep(10)
        number = await street.db.read("*", lambda db: numbers.find_number(db, shop.tenant_id, shop.number_id))
        assert number is not None
        assert (number.state, number.error) == ("error", "secrets: Its secrets cannot be read: enter them again.")
        street.provider.sealed.clear()
        await street.do(lambda db: shop.set(db, "numbers", shop.number_id, state="connected"))
        await trio.sleep(10)
    assert await states(street, shop) == ["accepted"]


async def test_a_body_that_cannot_be_read_fails_alone(autojump_clock: MockClock, street: Street, shop: Shop) -> None:
    (one,) = await street.do(lambda db: shop.say(db, "broken"))
    await street.do(lambda db: shop.set(db, "sends", one, body="{"))
    await street.do(lambda db: shop.say(db, "fine"))
    async with running(street.senders()):
        await trio.sleep(2)
    assert await states(street, shop) == ["failed", "accepted"]


async def test_what_it_answers_goes_with_it(autojump_clock: MockClock, street: Street, shop: Shop) -> None:
    (one,) = await street.do(lambda db: shop.say(db, "hello"))
    body = contents.write(TextContent("hello"), reply_to="wamid.user")[1]
    await street.do(lambda db: shop.set(db, "sends", one, body=body))
    async with running(street.senders()):
        await trio.sleep(1)
    assert [letter.reply_to for letter in street.provider.letters] == ["wamid.user"]


async def test_at_the_end_attempts_under_way_end_and_none_begins(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    async def slow(letter: Letter) -> Sent:
        await trio.sleep(DRAIN_S - 1)
        return Sent(f"wamid.{letter.reference}")

    street.provider.act = slow
    await street.do(lambda db: shop.say(db, "one"))
    service = street.senders()
    async with running(service) as shutdown:
        await trio.sleep(1)
        shutdown.set()
        await street.do(lambda db: (shop.open(db), shop.say(db, "two")))
        with trio.fail_after(DRAIN_S):
            await service.ended.wait()
    assert await states(street, shop) == ["accepted", "queued"]


async def test_an_end_does_not_wait_for_ever_and_what_hangs_is_found_later(
    autojump_clock: MockClock, street: Street, shop: Shop
) -> None:
    async def hang(_letter: Letter) -> Sent:
        await trio.sleep_forever()
        raise AssertionError

    street.provider.act = hang
    await street.do(lambda db: shop.say(db, "one"))
    service = street.senders()
    async with running(service) as shutdown:
        await trio.sleep(1)
        shutdown.set()
        with trio.fail_after(DRAIN_S + 0.1):
            await service.ended.wait()
    assert await states(street, shop) == ["sending"]
