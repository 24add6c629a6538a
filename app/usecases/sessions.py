"""Sessions of the dashboard: an opaque token in a cookie, kept as a digest, sliding for seven days of use."""

from __future__ import annotations

import hmac
from typing import Final

from app.core.identity import Clock, Visitor, new_token, new_uuid, now_us
from app.core.sealing import derived_key
from app.storage import sessions
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.sessions import StoredSession

LIFE_US: Final = 7 * 86_400_000_000
#: A session that was seen within this time is not written again.
FRESH_US: Final = 60_000_000
LONGEST_CLIENT: Final = 200
#: One more ends the member's oldest.
MOST_SESSIONS: Final = 100


class Sessions:
    """Opens and checks sessions. `secret` is the server's own."""

    def __init__(self, db: Database, secret: str, *, clock: Clock = now_us) -> None:
        self._db = db
        self._key = derived_key(secret, "session digests")
        self._clock = clock

    async def check(self, token: str) -> Visitor:
        """Who a token belongs to, from the database: a session that was ended is over at once, in every process.

        Raises Problem 401 `token_expired`, 403 `account_inactive`.
        """
        at = self._clock()
        digest = self.digest(token)
        visitor, seen_us = await self._db.read(EVERY_TENANT, lambda db: sessions.find_visitor(db, digest, at))
        if at - seen_us > FRESH_US:
            tenant, session = visitor.tenant_id, visitor.session_id
            await self._db.write(
                tenant, lambda db: sessions.prolong(db, tenant, session, at, at + LIFE_US), durable=False
            )
        return visitor

    def opening(self, client: str, address: str) -> Opening:
        """A session to be opened in a transaction of the caller's; `client` is what the browser calls itself."""
        return Opening(self, new_token(), client[:LONGEST_CLIENT], address, self._clock())

    async def close(self, token: str) -> None:
        """End the session of this token, if there is one."""
        digest = self.digest(token)
        found = await self._db.read(EVERY_TENANT, lambda db: sessions.find_session(db, digest))
        if found is not None:
            tenant_id, user_id, session_id = found
            await self._db.write(tenant_id, lambda db: sessions.close_session(db, tenant_id, user_id, session_id))

    def digest(self, token: str) -> str:
        """What stands for the token in the database; also for an invitation's."""
        return hmac.digest(self._key, token.encode(), "sha256").hex()


class Opening:
    """One session to come. `token` is shown once; `write` belongs into the transaction that lets the member in."""

    __slots__ = ("_digest", "_session", "token")

    def __init__(self, owner: Sessions, token: str, client: str, address: str, at_us: int) -> None:
        self.token = token
        self._digest = owner.digest(token)
        self._session = StoredSession(new_uuid(at_us), "", client, address, at_us, at_us, at_us + LIFE_US)

    def write(self, db: Transaction, tenant_id: str, user_id: str) -> None:
        """Open the session for this member. May be run again, as jobs are."""
        sessions.open_session(db, tenant_id, self._session._replace(user_id=user_id), self._digest)
        sessions.close_oldest(db, tenant_id, user_id, MOST_SESSIONS)
