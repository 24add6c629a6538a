"""What becomes of messages of which nobody knows whether they were sent."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from app.core.errors import Problem
from app.providers.whatsapp.line import Letter, MediaContent, NotSent, Sent, Undelivered
from app.storage.database import Transaction
from channels.conversations import contents
from channels.outbound.reconciling import ASK_FOR_US, Reconciler
from tests.channels.sending import HOUR, LEASE, SECOND, Shop, Street, open_other, open_shop, running
from tests.storage.making import DAY_0

MINUTE = 60 * SECOND


async def lose(street: Street, shop: Shop, *, since_us: int = MINUTE + SECOND) -> str:
    """A message whose outcome has been unknown for so long; its id."""

    def make(db: Transaction) -> str:
        one, _ = shop.say(db, "one", "two")
        taken = shop.take_one(db)
        shop.set(db, "sends", taken.id, state="unknown", lease_until=DAY_0 + MINUTE)
        return one

    send_id: str = await street.do(make)
    await trio.sleep(since_us / SECOND)
    return send_id


async def rows(street: Street, shop: Shop, columns: str = "state, reason, provider_id") -> list[object]:
    found: list[object] = await street.db.read("*", lambda db: shop.rows(db, columns))
    return found


def reconciler(street: Street) -> Reconciler:
    return Reconciler(street.db, street.provider, clock=street.clock)


async def test_what_a_dead_process_left_waits_a_minute_from_the_end_of_its_lease(
    autojump_clock: MockClock, street: Street
) -> None:
    shop = await street.do(open_shop)
    await street.do(lambda db: (shop.say(db, "one"), shop.take(db)))
    await trio.sleep(LEASE / SECOND - 1)
    assert await reconciler(street).look() == 0
    await trio.sleep(1)
    assert await reconciler(street).look() == 1
    assert await rows(street, shop, "state, lease_until") == [("unknown", DAY_0 + LEASE + MINUTE)]


async def test_what_nothing_tells_of_has_failed_and_people_are_told(autojump_clock: MockClock, street: Street) -> None:
    shop = await street.do(open_shop)
    await lose(street, shop)
    await reconciler(street).look()
    assert await rows(street, shop) == [("failed", "unknown_outcome", ""), ("dropped", "previous_part_failed", "")]
    assert await street.db.read("*", shop.flag) == "unknown_outcome"
    assert await street.db.read("*", shop.messages) == ["failed"]


async def test_what_the_provider_has_was_sent(autojump_clock: MockClock, street: Street) -> None:
    shop = await street.do(open_shop)
    await lose(street, shop)
    street.provider.found = Sent("SM1")
    await reconciler(street).look()
    assert await rows(street, shop) == [("accepted", "", "SM1"), ("queued", "", "")]


async def test_what_the_provider_could_not_deliver_has_failed_for_what_it_says(
    autojump_clock: MockClock, street: Street
) -> None:
    shop = await street.do(open_shop)
    await lose(street, shop)
    street.provider.found = Undelivered("SM1", "63024", "no such user")
    await reconciler(street).look()
    found = await rows(street, shop, "state, reason, error, provider_id")
    assert found == [("failed", "", "63024: no such user", "SM1"), ("dropped", "previous_part_failed", "", "")]


async def test_the_text_of_a_file_that_the_provider_could_not_fetch_goes_out(
    autojump_clock: MockClock, street: Street
) -> None:
    shop = await street.do(open_shop)
    send_id = await lose(street, shop)
    note = contents.write(MediaContent("audio", kept="med_1", voice=True, otherwise="In words"))
    await street.do(lambda db: shop.set(db, "sends", send_id, kind=note[0], body=note[1]))
    street.provider.found = Undelivered("SM1", "63019", "media could not be had")
    await reconciler(street).look()
    found = set(await rows(street, shop, "kind, state, reason"))
    assert found == {("media", "dropped", "superseded"), ("text", "queued", "")}


async def test_what_it_has_of_another_of_the_same_words_says_nothing_of_ours(
    autojump_clock: MockClock, street: Street
) -> None:
    shop = await street.do(lambda db: open_shop(db, config={"on_unknown": "resend"}))
    await street.do(lambda db: shop.set(db, "sends", shop.say(db, "one")[0], state="delivered", provider_id="SM1"))
    await lose(street, shop)
    street.provider.found = Sent("SM1")
    await reconciler(street).look()
    assert (await rows(street, shop))[1] == ("failed", "unknown_outcome", "")


async def test_a_bot_that_is_set_so_sends_it_again(autojump_clock: MockClock, street: Street) -> None:
    shop = await street.do(lambda db: open_shop(db, config={"on_unknown": "resend"}))
    one = await lose(street, shop)
    await reconciler(street).look()
    async with running(street.senders()):
        await trio.sleep(1)
    assert [letter.reference for letter in street.provider.letters] == [one]


async def test_a_provider_that_cannot_be_asked_is_asked_again_for_ten_minutes(
    autojump_clock: MockClock, street: Street
) -> None:
    shop = await street.do(open_shop)
    await lose(street, shop)
    street.provider.found = NotSent("no connection")
    with trio.move_on_after((ASK_FOR_US - 90 * SECOND) / SECOND):
        await reconciler(street).run()
    assert (await rows(street, shop))[0] == ("unknown", "", "")
    street.provider.found = Sent("SM1")
    with trio.move_on_after(40):
        await reconciler(street).run()
    assert (await rows(street, shop))[0] == ("accepted", "", "SM1")


async def test_a_provider_that_cannot_be_asked_at_all_tells_nothing(autojump_clock: MockClock, street: Street) -> None:
    shop = await street.do(open_shop)
    await lose(street, shop)
    street.provider.found = Problem("internal_error", "ours")
    with trio.move_on_after(HOUR / SECOND):
        await reconciler(street).run()
    assert (await rows(street, shop))[0] == ("failed", "unknown_outcome", "")


async def test_while_one_process_asks_no_other_does(autojump_clock: MockClock, street: Street) -> None:
    shop = await street.do(open_shop)
    await lose(street, shop)
    asked = 0

    async def find(_letter: Letter, _since_s: float) -> Sent | None:
        nonlocal asked
        asked += 1
        await trio.sleep(5)
        return Sent("SM1")

    class Lines:
        def of(self, tenant_id: str, number: object) -> object:
            line = street.provider.of(tenant_id, number)  # type: ignore[arg-type]
            line.find = find  # type: ignore[method-assign, assignment]
            return line

    async with open_other(street.url) as other, trio.open_nursery() as nursery:
        for db in (street.db, other):
            nursery.start_soon(Reconciler(db, Lines(), clock=street.clock).run)  # type: ignore[arg-type]
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert asked == 1
    assert (await rows(street, shop))[0] == ("accepted", "", "SM1")
