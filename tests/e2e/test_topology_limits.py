"""Limits are exact over all processes, and what is changed in one place is seen by the next call everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest
import trio

from app.core.identity import now_us
from app.core.tokens import count_messages
from app.storage import keys, ledger, tenants
from app.storage.database import Job
from app.usecases import models
from catalog.catalog import Catalog
from tests.databases import elsewhere, sqlite_url
from tests.e2e.settlement import cost_ucr, question, until
from tests.e2e.topology import NAMES, SHAPES, Shape, Topology, host_topology
from tests.e2e.wire_clients import Answer, H1Client
from tests.house import Customer, add_customer

MODEL: Final = "kimi-k2.6"
TOKENS: Final = 20
#: Long enough that the calls which pass hold their credits while the others ask.
CUES: Final = f"[tokens={TOKENS}] [first=400]"
RETRY_S: Final = 0.15
#: How many ask at once.
RUSH: Final = 150
#: A new connection goes to any of the workers on a port; so many reach each of them.
ROUNDS: Final = 12
RELOADED_S: Final = 5.0


@pytest.fixture(scope="module", params=SHAPES, ids=NAMES)
def topology(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    shape: Shape = request.param
    folder = tmp_path_factory.mktemp("topology")
    with ExitStack() as stack:
        if shape.engine == "sqlite":
            url = sqlite_url(folder)
        else:
            url = stack.enter_context(request.getfixturevalue("databases").open_fresh())
        yield stack.enter_context(host_topology(shape, folder, url))


async def ask(url: str, key: str, body: bytes) -> Answer:
    with closing(await H1Client.connect(url)) as client:
        await client.ask(key, body)
        return await client.read_to_end()


def ask_of(number: int) -> bytes:
    return question(f"r{number:04}", CUES, MODEL, stream=number % 2 == 0, max_tokens=TOKENS)


def cost_of_each() -> int:
    """What every one of these calls holds and costs: all of `max_tokens` is said, and all prompts are equally long."""
    (prompt,) = {count_messages(msgspec.json.decode(ask_of(number))["messages"]) for number in range(RUSH)}
    return cost_ucr(MODEL, prompt, TOKENS)


def credits_for(calls: int) -> int:
    """Good for exactly so many, with a rest that is good for none."""
    return calls * cost_of_each() + cost_of_each() - 1


@dataclass(frozen=True, slots=True)
class Race:
    """A customer whose calls pass so often, and why the others do not."""

    customer: dict[str, Any]
    passes: int
    refusal: str


RACES: Final = {
    "no credits": Race({"credit_ucr": credits_for(0)}, 0, "insufficient_credits"),
    "credits for one call": Race({"credit_ucr": credits_for(1)}, 1, "insufficient_credits"),
    "credits for 17 calls": Race({"credit_ucr": credits_for(17)}, 17, "insufficient_credits"),
    "a key's budget for 5 calls": Race({"budget_ucr": credits_for(5)}, 5, "budget_exceeded"),
    "a key of one request a minute": Race({"rpm": 1}, 1, "rate_limit_exceeded"),
    "a key of 7 requests a minute": Race({"rpm": 7}, 7, "rate_limit_exceeded"),
}


@dataclass(slots=True)
class Rush:
    """Many ask at once, spread over the processes, and again whenever they are told that credits are merely held."""

    topology: Topology
    customer: Customer
    codes: Counter[str | None] = field(default_factory=Counter)

    async def run(self) -> None:
        async with trio.open_nursery() as clients:
            for number in range(RUSH):
                clients.start_soon(self._client, number)

    async def _client(self, number: int) -> None:
        while True:
            answer = await ask(self.topology.pick(), self.customer.key, ask_of(number))
            if answer.error_code != "credits_held":
                self.codes[None if answer.saw_end else answer.error_code] += 1
                return
            await trio.sleep(RETRY_S)


@pytest.mark.parametrize("name", RACES)
async def test_a_limit_is_exact_to_the_call_when_many_ask_all_processes_at_once(topology: Topology, name: str) -> None:
    race = RACES[name]
    customer = newcomer(topology, name, **race.customer)
    rush = Rush(topology, customer)
    with trio.fail_after(20):
        await rush.run()
    with topology.open_ledger() as view:
        charges = [row.charge for row in view.rows("tenant_id = ?", customer.tenant_id)]
    assert rush.codes == Counter({None: race.passes, race.refusal: RUSH - race.passes})
    assert charges == [cost_of_each()] * race.passes


def newcomer(topology: Topology, name: str, **customer: Any) -> Customer:
    return elsewhere(topology.database_url, lambda db: add_customer(db, name, **customer))


async def test_a_plan_of_eight_calls_in_flight_lets_exactly_eight_run(topology: Topology) -> None:
    customer = newcomer(topology, "Busy", plan="free")
    refused: list[Answer] = []

    async def run(number: int) -> None:
        body = question(f"h{number:04}", "[mock=hang_headers]", MODEL, stream=False)
        refused.append(await ask(topology.pick(), customer.key, body))

    with trio.fail_after(15), topology.open_ledger() as view:
        async with trio.open_nursery() as clients:
            for number in range(40):
                clients.start_soon(run, number)
            await until(lambda: len(refused) >= 32)
            assert len(view.rows("state = 'held'")) == 8
            clients.cancel_scope.cancel()
        await until(lambda: not view.rows("state = 'held'"))
        assert len(view.rows("tenant_id = ?", customer.tenant_id)) == 8
    assert {(answer.status, answer.error_code) for answer in refused} == {(429, "too_many_concurrent_requests")}
    assert len(refused) == 32


@dataclass(slots=True)
class Everywhere:
    """A customer whose key every process has seen."""

    topology: Topology
    customer: Customer

    async def codes(self, model: str = MODEL) -> Counter[str | None]:
        """What each process says, None being a whole answer."""
        said: Counter[str | None] = Counter()
        for number in range(ROUNDS):
            body = question(f"e{number}", "[tokens=1]", model, stream=False)
            answer = await ask(self.topology.pick(), self.customer.key, body)
            said[None if answer.saw_end else answer.error_code] += 1
        return said

    def change(self, job: Job[Any]) -> None:
        """As another process would: committed when this returns."""
        elsewhere(self.topology.database_url, job)


async def test_what_changes_in_the_database_holds_for_the_very_next_call_of_every_process(topology: Topology) -> None:
    customer = newcomer(topology, "Changing", credit_ucr=0)
    tenant_id = customer.tenant_id
    everywhere = Everywhere(topology, customer)
    frontier = "openai/gpt-5.4-mini"
    assert await everywhere.codes() == {"insufficient_credits": ROUNDS}
    everywhere.change(lambda db: ledger.credit(db, tenant_id, "purchase", 10**12, "order", now_us()))
    assert await everywhere.codes(frontier) == {None: ROUNDS}
    everywhere.change(lambda db: tenants.upsert_tenant(db, "Changing", "free", None, now_us()))
    assert await everywhere.codes(frontier) == {"model_not_available": ROUNDS}
    everywhere.change(lambda db: tenants.upsert_tenant(db, "Changing", "enterprise", None, now_us()))
    assert await everywhere.codes(frontier) == {None: ROUNDS}
    everywhere.change(lambda db: keys.revoke_key(db, tenant_id, customer.key_id))
    assert await everywhere.codes() == {"invalid_api_key": ROUNDS}


async def test_no_call_that_begins_after_its_key_was_revoked_is_served_under_load(topology: Topology) -> None:
    told: list[tuple[bool, str | None]] = []
    revoked = False
    customer = newcomer(topology, "Leaving")

    async def call_on() -> None:
        while sum(late for late, _ in told) < 60:
            late = revoked
            answer = await ask(topology.pick(), customer.key, question("l", "[tokens=1]", MODEL, stream=False))
            told.append((late, None if answer.saw_end else answer.error_code))

    with trio.fail_after(20):
        async with trio.open_nursery() as clients:
            for _ in range(12):
                clients.start_soon(call_on)
            await until(lambda: len(told) > 60)
            elsewhere(topology.database_url, lambda db: keys.revoke_key(db, customer.tenant_id, customer.key_id))
            revoked = True
    assert {code for late, code in told if late} == {"invalid_api_key"}
    assert {code for late, code in told if not late} <= {None, "invalid_api_key"}


async def test_a_new_catalog_is_in_force_in_every_process_within_five_seconds(topology: Topology) -> None:
    everywhere = Everywhere(topology, topology.ground.customer)

    async def charges() -> set[int]:
        """Of one call to each process."""
        with topology.open_ledger() as view:
            before = {row.id for row in view.rows()}
            assert await everywhere.codes() == {None: ROUNDS}
            return {row.charge for row in view.rows() if row.id not in before}

    (old,) = await charges()
    try:
        everywhere.change(lambda db: models.seed(db, twice_the_price()))
        now = {old}
        with trio.fail_after(RELOADED_S):
            while old in now:
                now = await charges()
    finally:
        everywhere.change(lambda db: models.seed(db, Catalog.load()))
    (new,) = now
    assert round(new / old, 2) == 2


def twice_the_price() -> Catalog:
    catalog = Catalog.load()
    documents = {document["id"]: document for document in map(copied, catalog.documents().values())}
    price = documents[MODEL]["price"]
    price |= {name: str(2 * Decimal(price[name])) for name in ("input", "output")}
    return Catalog.from_documents(documents.values(), catalog.rates.document(), catalog.plan_documents())


def copied(document: Mapping[str, object]) -> dict[str, Any]:
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return whole
