"""From a credential to a `Principal`: shape, then memory, then the database; refreshed when a write calls it stale."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.core.errors import CODES, Problem
from app.core.identity import Clock, Principal, is_key, key_digest, now_us
from app.storage import keys
from app.storage.database import EVERY_TENANT, Database
from app.storage.ledger import StaleKey

T = TypeVar("T")
CACHE_SIZE: Final = 10_000
REFRESHES: Final = 3
INVALID: Final = "Invalid API key"
#: Refusals that can come before admission compares the key's version.
BEFORE_ADMISSION: Final = frozenset(code for code, (status, _) in CODES.items() if status in (400, 403, 404))


class Access:
    """Principals by digest, the most recent ones in memory. `secret` is the server's key for digests."""

    def __init__(self, db: Database, secret: bytes, *, clock: Clock = now_us) -> None:
        self._db = db
        self._secret = secret
        self._clock = clock
        self._known: OrderedDict[str, Principal] = OrderedDict()

    async def check(self, key: str | None) -> Principal:
        """Read the key from the database: for routes without an admission write. Raises Problem 401 or 403."""
        return await self._load(self._digest(key))

    async def run(self, key: str | None, work: Callable[[Principal], Awaitable[T]]) -> T:
        """Do `work` with the key's principal, from memory where it is known, and again when that turns out to be old.

        Admission compares the version, so work that spends is never done for an old principal; a refusal that
        may stem from what the key allows is checked against the database. Raises Problem as `check`.
        """
        digest = self._digest(key)
        for _ in range(REFRESHES):
            known = self._known.get(digest)
            fresh = known is None or (known.expires_us is not None and known.expires_us <= self._clock())
            principal = await self._load(digest) if fresh or known is None else known
            try:
                return await work(principal)
            except StaleKey:
                self._known.pop(digest, None)
            except Problem as problem:
                if fresh or problem.code not in BEFORE_ADMISSION or await self._load(digest) == principal:
                    raise
        raise Problem("storage_unavailable", "This key is being changed right now. Try again.", retry_after_s=1)

    def _digest(self, key: str | None) -> str:
        if key is None or not is_key(key):
            raise Problem("invalid_api_key", INVALID)
        return key_digest(self._secret, key)

    async def _load(self, digest: str) -> Principal:
        principal = await self._db.read(EVERY_TENANT, lambda db: keys.find_principal(db, digest, self._clock()))
        self._known[digest] = principal
        self._known.move_to_end(digest)
        if len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return principal
