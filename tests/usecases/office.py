"""What the tests of accounts share: one process's ways in, over a database that others may share."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio
from argon2 import PasswordHasher

from app.core.accounts import Acceptance, Login, Registration
from app.core.errors import Problem
from app.core.identity import Role, Visitor
from app.core.team import NewMember
from app.storage.database import Database, open_database
from app.storage.engines import open_engine
from app.storage.migrations import migrate
from app.usecases.accounts import Accounts, Arrival, Doors, Welcome
from app.usecases.passwords import Passwords
from app.usecases.profile import Profiles
from app.usecases.sessions import Sessions
from app.usecases.team import Team
from app.usecases.throttle import Throttle
from catalog.catalog import Catalog
from tests.usecases.spending import Clock

SECRET: Final = "a secret for the tests of accounts"
PASSWORD: Final = "correct horse battery"
CATALOG: Final = Catalog.load()


class CountingHasher(PasswordHasher):
    """As cheap as argon2 gets; knows how often it was asked."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**{"time_cost": 1, "memory_cost": 8, "parallelism": 1, **parameters})
        self.verified = 0
        self.hashed = 0

    def verify(self, *known: Any) -> Any:
        self.verified += 1
        return super().verify(*known)

    def hash(self, *password: Any, **salt: Any) -> str:
        self.hashed += 1
        return super().hash(*password, **salt)


@dataclass
class Office:
    """One process."""

    db: Database
    clock: Clock
    hasher: CountingHasher
    plan: str = "free"

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.db, SECRET, clock=self.clock)
        throttle = Throttle(self.db, SECRET, clock=self.clock)
        passwords = Passwords(self.hasher)
        self.doors = Doors(self.db, self.sessions, passwords, throttle, lambda: CATALOG.plans, clock=self.clock)
        self.accounts, self.profiles, self.team = Accounts(self.doors), Profiles(self.doors), Team(self.doors)

    async def register(self, email: str = "jo@acme.example", organisation: str = "Acme", **fields: Any) -> Welcome:
        new = {"password": PASSWORD, "full_name": "Jo", **fields}
        return await self.accounts.register(Registration(email=email, organisation=organisation, **new), self.arrival())

    async def login(self, email: str = "jo@acme.example", password: str = PASSWORD, address: str = "") -> Welcome:
        return await self.accounts.login(Login(email=email, password=password), self.arrival(address))

    async def join(self, owner: Visitor, email: str, role: Any = "agent") -> Visitor:
        """Invite somebody, who accepts."""
        invited = await self.team.invite(owner, NewMember(email=email, full_name="Al", role=role))
        accepted = Acceptance(token=invited.token, password=PASSWORD)
        return await self.visitor(await self.accounts.accept(accepted, self.arrival()))

    async def visitor(self, welcome: Welcome) -> Visitor:
        return await self.sessions.check(welcome.token)

    async def role_of(self, visitor: Visitor) -> Role:
        return (await self.profiles.show(visitor)).user.role

    def arrival(self, address: str = "") -> Arrival:
        """From an address that nobody has come from, unless one is named."""
        self.clock.turn(0.000001)
        part = self.clock.now % 2**32
        return Arrival(address or str(".".join(str(byte) for byte in part.to_bytes(4, "big"))), "a browser")


@asynccontextmanager
async def open_office(url: str, clock: Clock | None = None, **parameters: Any) -> AsyncIterator[Office]:
    """A process of its own over the database of this URL; `parameters` are those of its hashes."""
    async with open_database(await open_engine(url)) as db:
        await migrate(db)
        yield Office(db, clock or Clock(), CountingHasher(**parameters))


async def code_of(act: Awaitable[object]) -> str:
    """The code of the refusal, "" without one."""
    try:
        await act
    except Problem as problem:
        return problem.code
    return ""


async def race(*acts: Callable[[], Awaitable[object]]) -> Counter[str]:
    """Codes of acts that are done at once; "" is a success."""
    codes: Counter[str] = Counter()

    async def run(act: Callable[[], Awaitable[object]]) -> None:
        codes[await code_of(act())] += 1

    async with trio.open_nursery() as nursery:
        for act in acts:
            nursery.start_soon(run, act)
    return codes
