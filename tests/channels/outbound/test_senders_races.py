"""Several processes at once, killed at any moment, over a provider of many moods: at most once, and in order."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from app.core.sends import FINAL, GONE, SHUT_EARLY_US
from app.providers.whatsapp.line import Letter, NotSent, OutcomeUnknown, Refused, Sent
from app.storage import sends
from app.storage.database import Transaction
from app.storage.sends import Told
from channels.outbound.reconciling import Reconciler
from tests.channels.sending import SECOND, Shop, Street, open_other, open_shop, open_street, running
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0

#: So many conversations, with so many turns of so many parts.
TALKS, TURNS, PARTS = 6, 3, 3


@ON_BOTH
async def test_two_processes_send_everything_once(database_url: str) -> None:
    async with (
        open_street(database_url, virtual=False) as street,
        open_other(database_url, virtual=False) as other,
    ):
        shop = await street.do(open_shop)

        def fill(db: Transaction) -> None:
            for _ in range(40):
                shop.open(db)
                shop.say(db, "hello")

        await street.do(fill)
        async with running(street.senders(), street.senders(other)):
            with trio.fail_after(20):
                while set(await street.db.read("*", shop.rows)) != {"accepted"}:  # noqa: ASYNC110 - seen by looking only
                    await trio.sleep(0.1)
    references = [letter.reference for letter in street.provider.letters]
    assert len(references) == 40
    assert len(set(references)) == 40


@dataclass
class Moody:
    """A provider: it takes a letter or not, says so or not, tells statuses late, twice, in any order."""

    street: Street
    shop: Shop
    chance: random.Random
    nursery: trio.Nursery
    #: When each letter was taken, by our reference.
    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def act(self, letter: Letter) -> Sent:
        mood = self.chance.random()
        await trio.sleep(self.chance.choice([0.01, 0.3, 2.0]))
        if mood < 0.1:
            raise NotSent("no connection")
        if mood < 0.25:
            raise Refused(self.chance.choice(["transient", "pair_rate", "number_rate", "app_rate"]), "1", "later")
        if mood < 0.3:
            raise Refused("recipient", "131026", "cannot be reached")
        if mood < 0.35:
            raise OutcomeUnknown("reset before it was read")
        self.taken[letter.reference].append(trio.current_time())
        provider_id = f"wamid.{letter.reference}.{len(self.taken[letter.reference])}"
        self.nursery.start_soon(self._tell, letter.reference, provider_id)
        if mood < 0.45:
            raise OutcomeUnknown("reset after it was read")
        if mood < 0.5:
            await trio.sleep_forever()
        await trio.sleep(self.chance.choice([0.0, 1.0]))
        return Sent(provider_id)

    async def _tell(self, reference: str, provider_id: str) -> None:
        statuses = ["sent", "delivered", *self.chance.choice([["read"], ["read", "read"], []])]
        self.chance.shuffle(statuses)
        if self.chance.random() < 0.2:
            return
        for status in statuses:
            await trio.sleep(self.chance.choice([0.0, 0.5, 5.0, 30.0]))
            told = Told(provider_id, reference, status, "", "", 0)  # type: ignore[arg-type]
            await self.street.do(partial(self._apply, told))

    def _apply(self, told: Told, db: Transaction) -> None:
        sends.apply_status(db, self.shop.tenant_id, self.shop.number_id, told, self.street.clock())


async def live(street: Street, chance: random.Random) -> None:
    """A process that is killed and started again, and again."""
    async with open_other(street.url) as db:
        while street.clock() < DAY_0 + 600 * SECOND:
            with trio.move_on_after(chance.choice([0.5, 3, 15, 60])):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(street.senders(db).run, trio.Event(), trio.Event())
                    nursery.start_soon(Reconciler(db, street.provider, clock=street.clock).run)
            await trio.sleep(chance.choice([0.0, 1.0, 50.0]))
        with trio.move_on_after(1800):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(street.senders(db).run, trio.Event(), trio.Event())
                nursery.start_soon(Reconciler(db, street.provider, clock=street.clock).run)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_nothing_is_sent_twice_or_out_of_order_or_left_without_an_end(
    autojump_clock: MockClock, street: Street, seed: int
) -> None:
    chance = random.Random(seed)
    shop = await street.do(open_shop)
    talks: list[list[str]] = []

    def fill(db: Transaction) -> None:
        for _ in range(TALKS):
            shop.open(db, window_us=DAY_0 + chance.choice([300, 86_400]) * SECOND)
            talks.append([send for _ in range(TURNS) for send in shop.say(db, *(["text"] * PARTS))])

    await street.do(fill)
    async with trio.open_nursery() as nursery:
        provider = Moody(street, shop, chance, nursery)
        street.provider.act = provider.act
        for number in range(2):
            nursery.start_soon(live, street, random.Random(f"{seed} {number}"))
    rows = await street.db.read("*", lambda db: shop.rows(db, "id, state, reason, provider_id"))
    found = {row[0]: row[1:] for row in rows}
    assert {state for state, _, _ in found.values()} <= FINAL | GONE, "everything has an end"
    assert max(map(len, provider.taken.values())) == 1, "nothing was sent twice"
    for reference, (state, reason, provider_id) in found.items():
        if state in GONE:
            assert reference in provider.taken
            assert provider_id == f"wamid.{reference}.1"
        elif reference in provider.taken:
            assert (state, reason) == ("failed", "unknown_outcome"), "it left, and nobody told"
        else:
            assert state in FINAL
    for talk in talks:
        times = [provider.taken[reference][0] for reference in talk if reference in provider.taken]
        assert times == sorted(times), "in order"
    windows: dict[str, int] = dict(
        await street.db.read(
            "*",
            lambda db: db.all("SELECT s.id, c.window_until FROM sends s JOIN contacts c ON c.id = s.contact_id"),
        )
    )
    for reference, (time,) in provider.taken.items():
        late_us = DAY_0 + int((time - street.start) * SECOND) - windows[reference]
        assert late_us <= 3 * SECOND - SHUT_EARLY_US, "no text outside of the window"
    assert any(state in GONE for state, _, _ in found.values())


@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
async def test_a_process_that_dies_with_a_letter_in_its_hand_leaves_it_to_a_status(
    autojump_clock: MockClock, street: Street, moment: str
) -> None:
    shop = await street.do(open_shop)
    (one,) = await street.do(lambda db: shop.say(db, "hello"))

    async def hang(_letter: Letter) -> Sent:
        await trio.sleep_forever()
        raise AssertionError

    street.provider.act = hang
    async with running(street.senders()):
        await trio.sleep(1)
    assert await street.db.read("*", shop.rows) == ["sending"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(street.senders().run, trio.Event(), trio.Event())
        nursery.start_soon(Reconciler(street.db, street.provider, clock=street.clock).run)
        await trio.sleep(45)
        assert await street.db.read("*", shop.rows) == ["unknown"]
        if moment == "after the answer":
            told = Told("wamid.1", one, "delivered", "", "", 0)
            await street.do(lambda db: sends.apply_status(db, shop.tenant_id, shop.number_id, told, street.clock()))
        await trio.sleep(65)
        nursery.cancel_scope.cancel()
    assert len(street.provider.letters) == 1
    wanted = ("delivered", "") if moment == "after the answer" else ("failed", "unknown_outcome")
    assert await street.db.read("*", lambda db: shop.rows(db, "state, reason")) == [wanted]
