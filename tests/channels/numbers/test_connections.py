"""Checking numbers at a provider that says yes, no, not now or nothing, with others at the same number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pytest
import trio

from app.core.errors import Problem
from app.core.numbers_api import NewNumber, Number, NumberChange
from app.core.sealing import Sealer
from app.providers.whatsapp.line import Checked, Line, NotSent, RefusalKind, Refused
from app.storage.database import EVERY_TENANT, Database
from app.storage.numbers import StoredNumber, update_number, whose_business
from channels.bell import Bell
from channels.numbers.connections import Connections, connected
from tests.books import open_books
from tests.databases import ON_BOTH
from tests.storage.making import make_tenant
from tests.usecases.spending import Clock

pytestmark = ON_BOTH
SEALER: Final = Sealer("a secret for tests only")
ADDRESS: Final = "https://bots.example.com"
NEW: Final = NewNumber(provider="meta", phone_number_id="1065", access_token="EAAG-of-the-tests")
ACME, BOLT = "Acme", "Bolt"


@dataclass
class Provider:
    """Answers every check as the test says; `of` is every number's line."""

    answer: Callable[[], Awaitable[Checked]]
    #: Whether the number is in the business account that is asked for, or why nobody can tell.
    belongs: bool | Exception = True
    asked: list[str] = field(default_factory=list)

    def of(self, tenant_id: str, _number: StoredNumber) -> Line:
        self.asked.append(tenant_id)
        return self  # type: ignore[return-value]  # nothing but these two is asked

    async def check(self) -> Checked:
        return await self.answer()

    async def belongs_to(self, business: str) -> bool:
        if isinstance(self.belongs, Exception):
            raise self.belongs
        return self.belongs


async def yes() -> Checked:
    return Checked("+15550001111", "Acme Shop", 1000)


def fails(error: Exception) -> Callable[[], Awaitable[Checked]]:
    async def answer() -> Checked:
        raise error

    return answer


@dataclass
class Scene:
    """Two organisations, each with the same number."""

    db: Database
    provider: Provider
    tenants: dict[str, str]
    numbers: dict[str, Number] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.bell = Bell()
        self.connections = Connections(self.db, SEALER, self.provider, senders_bell=self.bell, clock=self.clock)

    async def verify(self, name: str = ACME) -> Number:
        return await self.connections.verify(self.tenants[name], self.numbers[name].id, ADDRESS)

    async def number(self, name: str = ACME) -> Number:
        return await self.connections.find(self.tenants[name], self.numbers[name].id, ADDRESS)

    async def told_of(self, business: str) -> str | None:
        """Whose the news of this account are."""
        found = await self.db.read(EVERY_TENANT, lambda t: whose_business(t, "meta", business))
        return None if found is None else next(name for name, tenant in self.tenants.items() if tenant == found[0])

    async def change(self, **fields: Any) -> Number:
        change = NumberChange(**fields)
        return await self.connections.change(self.tenants[ACME], self.numbers[ACME].id, change, ADDRESS)


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with open_books(database_url) as db:
        tenants = {name: await db.write(EVERY_TENANT, partial(make_tenant, name=name)) for name in (ACME, BOLT)}
        opened = Scene(db, Provider(yes), tenants)
        for name, tenant_id in tenants.items():
            opened.numbers[name] = await opened.connections.create(tenant_id, NEW, ADDRESS)
        yield opened


async def test_a_number_is_what_the_provider_says_it_is(scene: Scene) -> None:
    number = await scene.verify()
    assert (number.state, number.phone_number, number.name) == ("connected", "+15550001111", "Acme Shop")
    assert number.messages_per_second == 1000


async def test_a_name_of_ones_own_stays(scene: Scene) -> None:
    await scene.change(name="Counter 2")
    assert (await scene.verify()).name == "Counter 2"


@pytest.mark.parametrize("kind", ["account", "other", "recipient"])
async def test_a_number_whose_secrets_are_refused_is_in_error_until_they_are_changed(
    scene: Scene, kind: RefusalKind
) -> None:
    await scene.verify()
    scene.provider.answer = fails(Refused(kind, "190", "The token is over."))
    number = await scene.verify()
    assert (number.state, number.error) == ("error", "190: The token is over.")
    assert number.verified_at is not None
    changed = await scene.change(access_token="EAAG-another")
    assert (changed.state, changed.error) == ("unchecked", None)


@pytest.mark.parametrize(
    "error", [NotSent("no connection"), Refused("transient", "2", "later"), Refused("number_rate", "130429", "later")]
)
async def test_a_provider_that_cannot_say_changes_nothing(scene: Scene, error: Exception) -> None:
    before = await scene.verify()
    scene.provider.answer = fails(error)
    with pytest.raises(Problem) as refused:
        await scene.verify()
    assert refused.value.code == "provider_error"
    assert await scene.number() == before


async def test_a_provider_that_says_nothing_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.numbers.connections.CHECK_S", 0.01)
    scene.provider.answer = trio.sleep_forever
    with pytest.raises(Problem) as refused:
        await scene.verify()
    assert refused.value.code == "provider_error"


async def test_what_was_changed_while_the_provider_was_asked_is_not_confirmed(scene: Scene) -> None:
    async def answer() -> Checked:
        await scene.change(access_token="EAAG-another")
        return await yes()

    scene.provider.answer = answer
    with pytest.raises(Problem) as refused:
        await scene.verify()
    assert refused.value.code == "conflict"
    assert (await scene.number()).verified_at is None


async def test_of_two_who_check_at_once_one_gets_the_number(scene: Scene) -> None:
    both, won, lost = trio.Event(), [], []

    async def answer() -> Checked:
        if len(scene.provider.asked) == 2:
            both.set()
        await both.wait()
        return await yes()

    async def verify(name: str) -> None:
        try:
            won.append((await scene.verify(name)).state)
        except Problem as problem:
            lost.append(problem.code)

    scene.provider.answer = answer
    async with trio.open_nursery() as nursery:
        for name in scene.tenants:
            nursery.start_soon(verify, name)
    assert (won, lost) == (["connected"], ["conflict"])


async def test_secrets_of_another_server_are_entered_again(scene: Scene) -> None:
    tenant_id = scene.tenants[ACME]
    row = (await scene.db.read(tenant_id, lambda t: connected(t, tenant_id)))[0]
    foreign = row._replace(secrets=Sealer("another secret").seal(b"{}", "elsewhere"))
    await scene.db.write(tenant_id, lambda t: update_number(t, tenant_id, foreign))
    assert (await scene.number()).access_token == ""
    with pytest.raises(Problem) as refused:
        await scene.change(name="Counter 2")
    assert refused.value.param == "access_token"
    assert (await scene.change(access_token="EAAG-of-the-tests")).access_token != ""


async def test_there_is_a_bound_to_how_many_numbers_there_are(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.numbers.connections.MOST_NUMBERS", 1)
    another = NewNumber(provider="meta", phone_number_id="2", access_token="EAAG-of-the-tests")
    with pytest.raises(Problem, match="Disconnect one first"):
        await scene.connections.create(scene.tenants[ACME], another, ADDRESS)


async def test_another_account_at_twilio_is_proved_anew_and_kept_from_nobody(scene: Scene) -> None:
    """Many organisations share the sandbox's number: theirs is the pair of the number and the account."""

    async def sandbox() -> Checked:
        return Checked("+14155238886", "", None)

    def new(account: str) -> NewNumber:
        return NewNumber(
            provider="twilio", phone_number="+14155238886", account_sid="AC" + account * 32, auth_token="b" * 32
        )

    scene.provider.answer = sandbox
    acme, bolt = scene.tenants[ACME], scene.tenants[BOLT]
    ours = await scene.connections.create(acme, new("a"), ADDRESS)
    await scene.connections.verify(acme, ours.id, ADDRESS)
    changed = await scene.connections.change(acme, ours.id, NumberChange(account_sid="AC" + "b" * 32), ADDRESS)
    assert (changed.state, changed.verified_at) == ("unchecked", None)
    theirs = await scene.connections.create(bolt, new("b"), ADDRESS)
    assert (await scene.connections.verify(bolt, theirs.id, ADDRESS)).state == "connected"
    changed = await scene.connections.change(acme, ours.id, NumberChange(name="Counter"), ADDRESS)
    assert changed.verified_at is None
    with pytest.raises(Problem, match="Another organisation"):
        await scene.connections.verify(acme, ours.id, ADDRESS)


async def test_news_of_an_account_are_told_to_whom_the_provider_says_that_it_belongs(scene: Scene) -> None:
    await scene.change(waba_id="102")
    assert await scene.told_of("102") is None
    number = await scene.verify()
    assert (number.state, number.error, await scene.told_of("102")) == ("connected", None, ACME)
    await scene.change(waba_id="103")
    assert (await scene.told_of("102"), await scene.told_of("103")) == (None, None)


async def test_an_account_that_does_not_have_the_number_is_refused_and_a_number_in_use_goes_on(scene: Scene) -> None:
    before = await scene.verify()
    scene.provider.belongs = False
    changed = await scene.change(waba_id="999")
    with pytest.raises(Problem, match="999 does not have the number 1065") as refused:
        await scene.verify()
    assert (refused.value.code, refused.value.param) == ("conflict", "waba_id")
    assert (await scene.number(), await scene.told_of("999")) == (changed, None)
    assert changed.verified_at == before.verified_at
    await scene.change(waba_id="")
    assert (await scene.verify()).state == "connected"


async def test_a_token_that_may_not_look_at_the_account_works_but_proves_nothing(scene: Scene) -> None:
    await scene.change(waba_id="102")
    scene.provider.belongs = Refused("content", "100", "Object does not exist")
    number = await scene.verify()
    assert number.state == "connected"
    assert number.error is not None
    assert number.error.startswith("100: the token may not look at the business account 102.")
    assert "whatsapp_business_management" in number.error
    assert await scene.told_of("102") is None
    scene.provider.belongs = True
    assert ((await scene.verify()).error, await scene.told_of("102")) == (None, ACME)


@pytest.mark.parametrize("error", [NotSent("no connection"), Refused("app_rate", "4", "later")])
async def test_an_account_that_cannot_be_asked_for_just_now_changes_nothing(scene: Scene, error: Exception) -> None:
    await scene.change(waba_id="102")
    before = await scene.verify()
    scene.provider.belongs = error
    with pytest.raises(Problem) as refused:
        await scene.verify()
    assert refused.value.code == "provider_error"
    assert (await scene.number(), await scene.told_of("102")) == (before, ACME)
