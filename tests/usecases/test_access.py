"""From a credential to a principal: shape, then memory, then the database, and never an old principal for long."""

from __future__ import annotations

import random
import re
import string
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from app.core.errors import Problem
from app.core.identity import Principal, key_digest, new_key
from app.storage import keys, tenants
from app.storage.database import EVERY_TENANT, Database, Job, T
from app.storage.keys import KeySettings
from app.storage.ledger import StaleKey
from app.usecases import access as access_module
from app.usecases.access import Access
from app.usecases.meter import Meter
from tests.books import open_books
from tests.storage.making import DAY_0, DAY_US, SECRET, make_key, make_tenant
from tests.usecases.spending import BILL, Clock, ask

KEY = re.compile(r"\Acm_[A-Za-z0-9]{40}\Z", re.ASCII)


class CountedDatabase(Database):
    """Counts the reads that go through it to another database."""

    def __init__(self, db: Database) -> None:
        self.inner = db
        self.reads = 0

    async def read(self, scope: str, job: Job[T]) -> T:
        self.reads += 1
        return await self.inner.read(scope, job)


@dataclass
class Door:
    """Access to a database that counts, and a key of one tenant."""

    db: Database
    tenant_id: str
    key: str
    clock: Clock = field(default_factory=Clock)
    seen: list[Principal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counted = CountedDatabase(self.db)
        self.access = Access(self.counted, SECRET, clock=self.clock)
        self.meter = Meter(self.db, clock=self.clock)

    async def spend(self, principal: Principal) -> str:
        """Work whose first effect is an admission."""
        self.seen.append(principal)
        async with self.meter.open_call(principal, ask()) as call:
            await call.post(BILL)
        return "served"

    async def refused(self, work: Callable[[Principal], Awaitable[object]] | None = None) -> tuple[int, str]:
        with pytest.raises(Problem) as caught:
            await self.access.run(self.key, work or self.spend)
        return caught.value.status, caught.value.code

    async def key_id(self) -> str:
        return (await self.access.check(self.key)).key_id


@pytest.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    async with open_books(database_url) as db:
        tenant_id = await db.write(EVERY_TENANT, make_tenant)
        yield Door(
            db, tenant_id, await db.write(tenant_id, lambda t: make_key(t, tenant_id, expires_us=DAY_0 + DAY_US))
        )


def odd_credentials(count: int, chance: random.Random) -> list[str | None]:
    """Headers that are not, or hardly, keys."""
    letters = string.ascii_letters + string.digits
    strange = [*"'\"\\;%_- \t\r\n\x00", "\u0663", "\uff41", "é", "' OR '1'='1", "cm_"]

    def one() -> str | None:
        text = "cm_" + "".join(chance.choices(letters, k=chance.choice([0, 1, 39, 40, 40, 40, 41, 80])))
        match chance.randrange(6):
            case 0:
                return None
            case 1:
                return "".join(chance.choices(string.printable, k=chance.randrange(60)))
            case 2:
                return key_digest(SECRET, text)
            case 3:
                return text.replace("cm_", chance.choice(["", "CM_", "cm-", "sk_", " cm_"]))
            case 4:
                at = chance.randrange(len(text))
                return f"{text[:at]}{chance.choice(strange)}{text[at + chance.randrange(2) :]}"
            case _:
                return text if len(text) != 43 else text + chance.choice(strange)

    return [one() for _ in range(count)]


async def test_of_ten_thousand_odd_credentials_none_reaches_the_database(door: Door) -> None:
    odd = [text for text in odd_credentials(10_000, random.Random(7)) if text is None or not KEY.match(text)]
    assert len(odd) > 9_000
    for text in odd:
        with pytest.raises(Problem, match="invalid_api_key: Invalid API key"):
            await door.access.run(text, door.spend)
        with pytest.raises(Problem, match="invalid_api_key"):
            await door.access.check(text)
    assert (door.counted.reads, door.seen) == (0, [])


async def test_a_key_that_nobody_has_is_looked_up_and_refused(door: Door) -> None:
    door.key = new_key()
    assert await door.refused() == (401, "invalid_api_key")
    assert (door.counted.reads, door.seen) == (1, [])


async def test_a_stored_digest_is_no_credential(door: Door) -> None:
    door.key = key_digest(SECRET, door.key)
    assert await door.refused() == (401, "invalid_api_key")
    assert door.counted.reads == 0


async def test_a_key_that_was_seen_is_known_from_memory(door: Door) -> None:
    for _ in range(3):
        assert await door.access.run(door.key, door.spend) == "served"
    assert door.counted.reads == 1
    assert len(set(door.seen)) == 1


async def test_a_route_without_admission_reads_the_key_each_time(door: Door) -> None:
    for _ in range(3):
        assert (await door.access.check(door.key)).tenant_id == door.tenant_id
    assert door.counted.reads == 3


async def test_a_revoked_key_fails_on_its_next_call_although_it_was_known(door: Door) -> None:
    await door.access.run(door.key, door.spend)
    key_id = await door.key_id()
    await door.db.write(door.tenant_id, lambda t: keys.revoke_key(t, door.tenant_id, key_id))
    assert await door.refused() == (401, "invalid_api_key")


async def test_a_suspended_account_fails_on_its_next_call(door: Door) -> None:
    await door.access.run(door.key, door.spend)
    await door.db.write(
        door.tenant_id, lambda t: t.run("UPDATE tenants SET status = 'suspended', version = version + 1")
    )
    assert await door.refused() == (403, "account_inactive")


async def test_a_key_that_changed_is_read_again_and_the_work_done_with_what_it_may_now(door: Door) -> None:
    await door.access.run(door.key, door.spend)
    await door.db.write(door.tenant_id, lambda t: tenants.upsert_tenant(t, "Acme", "free", None, DAY_0))
    assert await door.access.run(door.key, door.spend) == "served"
    assert [principal.plan for principal in door.seen] == ["pro", "pro", "free"]


async def test_a_refusal_from_memory_is_not_believed_when_the_key_has_changed(door: Door) -> None:
    async def needs_tts(principal: Principal) -> str:
        if not principal.may("tts"):
            raise Problem("permission_denied", "")
        return await door.spend(principal)

    key_id = await door.key_id()
    narrow = KeySettings("main", permissions="llm", expires_us=DAY_0 + DAY_US)
    await door.db.write(door.tenant_id, lambda t: keys.update_key(t, door.tenant_id, key_id, narrow))
    assert await door.refused(needs_tts) == (403, "permission_denied")
    wide = KeySettings("main", expires_us=DAY_0 + DAY_US)
    await door.db.write(door.tenant_id, lambda t: keys.update_key(t, door.tenant_id, key_id, wide))
    assert await door.access.run(door.key, needs_tts) == "served"


async def test_a_refusal_that_costs_credits_to_check_is_told_as_it_is(door: Door) -> None:
    asked: list[Principal] = []

    async def refuse(principal: Principal) -> None:
        asked.append(principal)
        raise Problem("insufficient_credits", "")

    assert await door.refused(refuse) == (402, "insufficient_credits")
    assert await door.refused(refuse) == (402, "insufficient_credits")
    assert len(asked) == 2


async def test_a_key_that_changes_all_the_time_is_given_up_after_three_tries(door: Door) -> None:
    tries: list[Principal] = []

    async def never_right(principal: Principal) -> None:
        tries.append(principal)
        raise StaleKey

    assert await door.refused(never_right) == (503, "storage_unavailable")
    assert len(tries) == 3


async def test_a_known_key_expires_at_its_time(door: Door) -> None:
    await door.access.run(door.key, door.spend)
    door.clock.turn(86_400 - 1)
    assert await door.access.run(door.key, door.spend) == "served"
    door.clock.turn(1)
    assert await door.refused() == (401, "api_key_expired")


async def test_memory_is_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "CACHE_SIZE", 3)
    made = [
        await door.db.write(door.tenant_id, partial(make_key, tenant_id=door.tenant_id, name=f"key {n}"))
        for n in range(5)
    ]

    async def nothing(_: Principal) -> None: ...

    for key in made:
        await door.access.run(key, nothing)
    reads = door.counted.reads
    for key in made[2:]:
        await door.access.run(key, nothing)
    assert door.counted.reads == reads
    await door.access.run(made[0], nothing)
    assert door.counted.reads == reads + 1


async def test_a_tenants_keys_are_two_identities(door: Door) -> None:
    other = await door.db.write(door.tenant_id, lambda t: make_key(t, door.tenant_id, "other"))
    first, second = await door.access.check(door.key), await door.access.check(other)
    assert (first.tenant_id, first.key_id == second.key_id) == (second.tenant_id, False)
