"""Many calls at the same moment and money, requests or budget for a few: exactly those few pass, over HTTP."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pytest
import trio

from app.core.tokens import count_messages
from scripts.simulator.book import Record
from tests.databases import ON_BOTH
from tests.e2e.settlement import LedgerView, cost_ucr, open_ledger, question, until
from tests.e2e.wire_clients import Answer, H1Client
from tests.house import House, open_house

pytestmark = ON_BOTH

MODEL: Final = "kimi-k2.6"
TOKENS: Final = 20
#: Long enough that the calls which pass hold their credits while the others ask.
CUES: Final = f"[tokens={TOKENS}] [first=400]"
RETRY_S: Final = 0.15


def ask_of(number: int) -> bytes:
    return question(f"r{number:04}", CUES, MODEL, stream=number % 2 == 0, max_tokens=TOKENS)


def cost_of_each(count: int) -> int:
    """What every one of these calls holds and costs: all of `max_tokens` is said, and all prompts are equally long."""
    prompts = {count_messages(msgspec.json.decode(ask_of(number))["messages"]) for number in range(count)}
    assert len(prompts) == 1
    return cost_ucr(MODEL, prompts.pop(), TOKENS)


@dataclass(slots=True)
class Rush:
    """`count` clients ask at once, and again whenever they are told that credits are merely held."""

    house: House
    ledger: LedgerView
    count: int
    answers: list[Answer] = field(default_factory=list)
    held_refusals: int = 0
    samples: int = 0

    async def run(self) -> None:
        async with trio.open_nursery() as watching:
            watching.start_soon(self._watch_money)
            async with trio.open_nursery() as clients:
                for number in range(self.count):
                    clients.start_soon(self._client, number)
            watching.cancel_scope.cancel()

    async def _client(self, number: int) -> None:
        while True:
            client = await H1Client.connect(self.house.url)
            try:
                await client.ask(self.house.customer.key, ask_of(number))
                answer = await client.read_to_end()
            finally:
                client.close()
            if code_of(answer) != "credits_held":
                self.answers.append(answer)
                return
            assert answer.status == 429
            assert int(answer.headers["retry-after"]) >= 1
            self.held_refusals += 1
            await trio.sleep(RETRY_S)

    async def _watch_money(self) -> None:
        """At no moment is more held than there is, or less than nothing left."""
        while True:
            balance, held = self.ledger.money(self.house.customer.tenant_id)
            assert 0 <= held <= balance
            self.samples += 1
            await trio.sleep(0.002)

    def codes(self) -> Counter[str | None]:
        return Counter(code_of(answer) for answer in self.answers)


def code_of(answer: Answer) -> str | None:
    """The error's code, None for an answer that came whole."""
    if answer.saw_end:
        return None
    error: dict[str, Any] = msgspec.json.decode(answer.body)["error"]
    code: str = error["code"]
    return code


def tagged(house: House) -> list[Record]:
    """What the providers were asked to answer."""
    return [record for record in house.book.records() if record.tag]


@pytest.mark.parametrize("good_for", [0, 1, 17])
async def test_a_balance_for_k_calls_pays_for_exactly_k_of_a_thousand_at_once(good_for: int, database_url: str) -> None:
    cost = cost_of_each(1000)
    credit = good_for * cost + cost - 1
    async with open_house(database_url, customer={"credit_ucr": credit}) as house:
        with open_ledger(house.settings.database_url) as ledger:
            rush = Rush(house, ledger, 1000)
            with trio.fail_after(40):
                await rush.run()
            assert rush.codes() == Counter({None: good_for, "insufficient_credits": 1000 - good_for})
            assert {answer.status for answer in rush.answers if not answer.saw_end} == {402}
            assert ledger.money(house.customer.tenant_id) == (cost - 1, 0)
            assert [row.charge for row in ledger.rows()] == [cost] * good_for
            assert len(tagged(house)) == good_for
            assert ledger.broken() == []
            assert rush.samples > 50
            print(f"\nk={good_for}: {rush.held_refusals} refused for held credits, {rush.samples} samples of the books")


async def test_a_key_budget_for_k_calls_pays_for_exactly_k(database_url: str) -> None:
    cost = cost_of_each(200)
    async with open_house(database_url, customer={"budget_ucr": 5 * cost + cost - 1}) as house:
        with open_ledger(house.settings.database_url) as ledger:
            rush = Rush(house, ledger, 200)
            with trio.fail_after(20):
                await rush.run()
            assert rush.codes() == Counter({None: 5, "budget_exceeded": 195})
            assert [row.charge for row in ledger.rows()] == [cost] * 5
            assert ledger.broken() == []


async def test_a_key_of_ten_requests_a_minute_lets_exactly_ten_of_two_hundred_pass(database_url: str) -> None:
    async with open_house(database_url, customer={"rpm": 10}) as house:
        with open_ledger(house.settings.database_url) as ledger:
            rush = Rush(house, ledger, 200)
            began = trio.current_time()
            with trio.fail_after(20):
                await rush.run()
            took_s = trio.current_time() - began
            # The next request is earned 60 / 10 seconds after the first.
            assert took_s < 6
            assert rush.codes() == Counter({None: 10, "rate_limit_exceeded": 190})
            refused = [answer for answer in rush.answers if not answer.saw_end]
            assert {answer.status for answer in refused} == {429}
            assert {int(answer.headers["retry-after"]) for answer in refused} <= set(range(1, 7))
            assert len(ledger.rows()) == 10
            assert ledger.broken() == []


async def test_a_plan_of_eight_calls_in_flight_lets_exactly_eight_run(database_url: str) -> None:
    async with open_house(database_url, customer={"plan": "free"}) as house:
        with open_ledger(house.settings.database_url) as ledger:
            refused: list[Answer] = []

            async def run(number: int) -> None:
                client = await H1Client.connect(house.url)
                try:
                    body = question(f"h{number:04}", "[mock=hang_headers]", MODEL, stream=False)
                    await client.ask(house.customer.key, body)
                    refused.append(await client.read_to_end())
                finally:
                    client.close()

            with trio.fail_after(10):
                async with trio.open_nursery() as clients:
                    for number in range(40):
                        clients.start_soon(run, number)
                    await until(lambda: len(refused) >= 32 and len(tagged(house)) >= 8)
                    assert len(ledger.rows("state = 'held'")) == 8
                    clients.cancel_scope.cancel()
                await until(lambda: not ledger.rows("state = 'held'"))
            assert {(answer.status, code_of(answer)) for answer in refused} == {(429, "too_many_concurrent_requests")}
            assert (len(refused), len(tagged(house)), len(ledger.rows())) == (32, 8, 8)
            assert ledger.broken() == []
