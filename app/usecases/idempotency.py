"""Idempotency keys: claimed before anything costs, kept with the charge, sealed at rest, swept after 24 hours."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import structlog
import trio

from app.core.errors import Problem
from app.core.idempotency import Claim
from app.core.identity import Clock, Principal, now_us
from app.core.kept_reply import KeptReply, unpack_reply
from app.core.sealing import Sealer
from app.storage import idempotency as stored
from app.storage.database import EVERY_TENANT, Database, Job, Transaction
from app.storage.ledger import Ending
from app.usecases.settling import Beside
from app.usecases.sweeping import run_sweeps

log = structlog.get_logger(__name__)
#: Pause before the next portion of many.
MORE_S: Final = 0.03
#: SQLite deletes on the loop, at 2 ms for each MiB of a reply: a portion of the largest takes half a second.
SWEPT_AT_ONCE: Final = 10
#: A reply of more characters is unsealed in a thread.
LARGE: Final = 1024 * 1024
#: A client that has left need not be waited for longer.
RELEASE_S: Final = 2.0


class Idempotency:
    """The keys of all tenants."""

    def __init__(self, db: Database, sealer: Sealer, *, clock: Clock = now_us) -> None:
        self._db = db
        self._sealer = sealer
        self._clock = clock

    async def claim(self, tenant_id: str, claim: Claim, principal: Principal | None = None) -> KeptReply | None:
        """Take the key for this request, or give what the first one was answered with.

        Raises Problem 409; StaleKey when `principal`, whom memory knows, must be read again.
        """
        at = self._clock()
        # A request may have a password in it: what is kept of it must not be what anybody can compute from a guess.
        kept = replace(claim, fingerprint=self._sealer.digest(claim.fingerprint, tenant_id))

        def job(db: Transaction) -> tuple[int, str] | None:
            if principal is not None:
                stored.check_key(db, tenant_id, principal)
            return stored.claim(db, tenant_id, kept, at)

        found = await self._db.write(tenant_id, job, durable=False)
        if found is None:
            return None
        unsealed = partial(self._unsealed, tenant_id, *found)
        return await trio.to_thread.run_sync(unsealed) if len(found[1]) > LARGE else unsealed()

    def beside(self, tenant_id: str, claim: Claim, status: int, packed: bytes) -> Beside:
        """What keeps an answer, to be written with the settlement of its call; b"" is one too large to be kept."""
        reply = self._sealed(tenant_id, packed)

        def keep(db: Transaction, _ending: Ending) -> None:
            stored.keep_charged(db, tenant_id, claim, status, reply)

        return keep

    async def keep(self, tenant_id: str, claim: Claim, status: int, packed: bytes) -> None:
        """Keep an answer that cost nothing. Without a database a repeat runs when the lease is over."""
        reply = self._sealed(tenant_id, packed)
        await self._write(tenant_id, lambda db: stored.keep_free(db, tenant_id, claim, status, reply))

    async def release(self, tenant_id: str, claim: Claim) -> None:
        """Let a repeat run. Not cancellable, bounded."""
        with trio.move_on_after(RELEASE_S, shield=True):
            await self._write(tenant_id, partial(stored.release, tenant_id=tenant_id, claim=claim))

    async def run_sweeper(self) -> None:
        """Delete what is past its time, again and again; any process may do it."""
        await run_sweeps("idempotency", self.sweep, SWEPT_AT_ONCE, MORE_S)

    async def sweep(self) -> int:
        """Delete some of what is past its time; how many."""
        at = self._clock()
        return await self._db.write(EVERY_TENANT, lambda db: stored.sweep(db, at, SWEPT_AT_ONCE))

    def _unsealed(self, tenant_id: str, status: int, reply: str) -> KeptReply:
        return unpack_reply(status, self._sealer.open(reply, _context(tenant_id)))

    def _sealed(self, tenant_id: str, packed: bytes) -> str:
        return self._sealer.seal(packed, _context(tenant_id)) if packed else ""

    async def _write(self, tenant_id: str, job: Job[None]) -> None:
        try:
            await self._db.write(tenant_id, job)
        except Problem as problem:
            log.warning("idempotency.not_written", error=str(problem))


def _context(tenant_id: str) -> str:
    return f"{tenant_id} idempotent reply"
