"""Webhooks of Meta and Twilio: signed, then written down, then answered. Nothing else happens before the answer.

A URL exists only where there is a secret to check its requests with: without one it is not there, never open
(channels.md section 2). What a number's own secret has signed is that number's and no other's.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.numbers import VERIFY_CONTEXT
from app.core.sealing import Sealer
from app.storage import numbers
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.numbers import StoredNumber
from channels.bell import Bell
from channels.inbound.keeping import Owner, divide, keep
from channels.numbers.number_views import FRAGMENT, open_secrets
from channels.whatsapp import meta, twilio
from channels.whatsapp.updates import Arrival, Broken

Owned = tuple[str, StoredNumber]
Params = Sequence[tuple[str, str]]
#: Fields of a form; Twilio sends a few dozen.
MOST_FIELDS: Final = 1000


class Unsigned(Exception):
    """The signature is missing or wrong: nothing was stored."""


class Refused(Exception):
    """A verification that does not say the right token."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The installation's own secrets. `public_url` is what URLs given to Twilio begin with, "" when there is none."""

    app_secrets: tuple[str, ...] = ()
    verify_token: str = ""
    public_url: str = ""


class Intake:
    """What the webhooks of all numbers go through. Every method raises Problem 404 for a URL that is not there.

    They also raise Unsigned, and Problem 503 when the database is away; nothing is stored then.
    """

    def __init__(self, db: Database, sealer: Sealer, gate: Gate, *, bell: Bell, clock: Clock = now_us) -> None:
        self._db = db
        self._sealer = sealer
        self._gate = gate
        self._bell = bell
        self._clock = clock

    async def verify_shared(self, query: Mapping[str, str]) -> str:
        """The challenge, when the token is the installation's or some number's. Raises Refused."""
        token = query.get("hub.verify_token", "")
        digest = self._sealer.digest(token, VERIFY_CONTEXT)
        known = await self._db.read(EVERY_TENANT, lambda db: numbers.knows_verify_digest(db, digest))
        ours = self._gate.verify_token.encode()
        return _challenge(query, known or (ours != b"" and hmac.compare_digest(token.encode(), ours)))

    async def verify(self, number_id: str, query: Mapping[str, str]) -> str:
        """The challenge, when the token is this number's. Raises Refused."""
        _, number = await self._number(number_id, "meta")
        if not number.verify_digest:
            raise _absent()
        digest = self._sealer.digest(query.get("hub.verify_token", ""), VERIFY_CONTEXT)
        return _challenge(query, hmac.compare_digest(digest, number.verify_digest))

    async def take_shared_meta(self, body: bytes, signature: str | None) -> int:
        """Signed by an app of the installation's own: each change goes to whoever has its number. How many were new."""
        if not self._gate.app_secrets:
            raise _absent()
        if not meta.signed(self._gate.app_secrets, body, signature):
            raise Unsigned
        parts = meta.read(body)
        names = {(part.account, _business(part)) for part in parts}
        found = await self._db.read(EVERY_TENANT, lambda db: _whose(db, names))
        return await self._keep("meta", parts, lambda part: found.get((part.account, _business(part))))

    async def take_meta(self, number_id: str, body: bytes, signature: str | None) -> int:
        """Signed by the app of this number. How many were new."""
        owned = await self._number(number_id, "meta")
        secrets = open_secrets(self._sealer, *owned)
        valid = [secret for secret in (secrets.app_secret, secrets.old_app_secret) if secret]
        if not valid:
            raise _absent()
        if not meta.signed(valid, body, signature):
            raise Unsigned
        return await self._keep_for("meta", meta.read(body), owned)

    async def take_shared_twilio(self, target: str, body: bytes, signature: str | None) -> int:
        """A message to whichever number its `To` says: that number's token must have signed it. How many were new."""
        self._check_public()
        params = _form(body)
        read = twilio.read(params)
        account, business = read.account, _business(read)
        found = await self._db.read(EVERY_TENANT, lambda db: numbers.whose(db, "twilio", account, business))
        if found is None:
            raise Unsigned
        return await self._take_twilio(found, target, params, signature, read)

    async def take_twilio(self, number_id: str, target: str, body: bytes, signature: str | None) -> int:
        """A message to this number. How many were new."""
        self._check_public()
        owned = await self._number(number_id, "twilio")
        params = _form(body)
        return await self._take_twilio(owned, target, params, signature, twilio.read(params))

    async def take_twilio_status(
        self, number_id: str, send_id: str, target: str, body: bytes, signature: str | None
    ) -> int:
        """How far a send of this number has come. How many were new."""
        self._check_public()
        owned = await self._number(number_id, "twilio")
        params = _form(body)
        return await self._take_twilio(owned, target, params, signature, twilio.read_status(params, send_id))

    async def _take_twilio(
        self, owned: Owned, target: str, params: Params, signature: str | None, read: Arrival | Broken
    ) -> int:
        token = open_secrets(self._sealer, *owned).auth_token
        if not token:
            raise _absent()
        url = f"{self._gate.public_url}{target}{FRAGMENT}"
        if not twilio.signed([token], url, params, signature):
            raise Unsigned
        return await self._keep_for("twilio", [read], owned)

    async def _keep_for(self, provider: str, parts: list[Arrival | Broken], owned: Owned) -> int:
        """For one number: what names no number is its, too; what names another is not believed."""
        account = owned[1].account
        return await self._keep(
            provider,
            parts,
            lambda part: owned if isinstance(part, Broken) or part.account in ("", account) else None,
            url=owned,
        )

    async def _keep(
        self, provider: str, parts: list[Arrival | Broken], owner: Owner, *, url: Owned | None = None
    ) -> int:
        at_us = self._clock()
        new = await keep(self._db, divide(provider, parts, owner, at_us, url=url), at_us)
        if new:
            self._bell.ring()
        return new

    async def _number(self, number_id: str, provider: str) -> Owned:
        found = await self._db.read(EVERY_TENANT, lambda db: numbers.whose_id(db, number_id))
        if found is None or found[1].provider != provider:
            raise _absent()
        return found

    def _check_public(self) -> None:
        """Without a public URL nobody can tell what Twilio has signed."""
        if not self._gate.public_url:
            raise _absent()


def _whose(db: Transaction, names: set[tuple[str, str]]) -> dict[tuple[str, str], Owned]:
    found = {
        (account, business): numbers.whose(db, "meta", account, business)
        if account
        else numbers.whose_business(db, "meta", business)
        for account, business in names
    }
    return {name: owned for name, owned in found.items() if owned is not None}


def _business(part: Arrival | Broken) -> str:
    return part.business if isinstance(part, Arrival) else ""


def _challenge(query: Mapping[str, str], ours: bool) -> str:
    answer = meta.challenge(query, lambda _token: ours)
    if answer is None:
        raise Refused
    return answer


def _form(body: bytes) -> Params:
    """The parameters as they were sent. Raises Unsigned for what cannot be a form, since nothing can have signed it."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Unsigned from None


def _absent() -> Problem:
    return Problem("not_found", "There is nothing here: this URL has no secret to check its requests with.")
