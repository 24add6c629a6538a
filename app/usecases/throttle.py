"""Keeps those who guess slow: so many tries a minute from one address, and for one account, over all processes.

A try counts before anything is checked, whether it succeeds or not: guesses sent at once cannot pass together, and an
answer tells nothing about who else has tried. Who floods an account's tries keeps its owner from logging in while the
flood lasts; sessions that are open go on, and the alternative is to let many machines guess at once.
"""

from __future__ import annotations

import hmac
from typing import Final

from app.core.addresses import address_bucket
from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.limits import Rate
from app.core.sealing import derived_key
from app.storage import throttles
from app.storage.database import Database
from app.storage.throttles import THROTTLES

#: spec.md section 16: 5 to 10 a minute.
PER_ADDRESS: Final = Rate(10)
PER_ACCOUNT: Final = Rate(5)


class Throttle:
    """`secret` is the server's own: what people type into a login is kept as a digest."""

    def __init__(self, db: Database, secret: str, *, clock: Clock = now_us) -> None:
        self._db = db
        self._key = derived_key(secret, "throttles")
        self._clock = clock

    async def admit(self, address: str, email: str = "") -> None:
        """Count a try from this address, for this account if one is named. Raises Problem 429; then nothing counts."""
        at = self._clock()
        buckets = {f"address {address_bucket(address)}": PER_ADDRESS}
        if email:
            buckets[f"account {hmac.digest(self._key, email.encode(), 'sha256').hex()}"] = PER_ACCOUNT
        wait_us = await self._db.write(THROTTLES, lambda db: throttles.take(db, buckets, at), durable=False)
        if wait_us:
            raise Problem(
                "rate_limit_exceeded",
                "Too many tries. Wait for the time in Retry-After.",
                retry_after_s=wait_us / 1e6,
            )

    async def sweep(self) -> int:
        """Forget who has not tried for a while; how many."""
        at = self._clock()
        return await self._db.write(THROTTLES, lambda db: throttles.sweep(db, at), durable=False)
