"""An organisation's API keys: made, listed, changed, given a new text, revoked. A key's text is shown once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from app.core import key_lists
from app.core.accounts import read_name
from app.core.amounts import amount_or_none, read_amount
from app.core.errors import Problem
from app.core.identity import HINT_LENGTH, Clock, key_digest, new_key, new_uuid, now_us
from app.core.keys import Key, KeyChange, KeyPage, KeyQuery, KeyRateState, NewKey, SecretKey
from app.core.ledger import month_of
from app.core.limits import Rate, look
from app.core.money import credits_from_ucr
from app.core.times import DAY_US, Place, iso_or_none, iso_time, read_cursor, write_cursor
from app.storage import key_rows, keys, members
from app.storage.database import Database, Transaction
from app.storage.key_rows import KeyRow
from app.usecases.models import Models
from catalog.catalog import Catalog

REVOKED: Final = "This key is revoked, and that is final. Create a new one."
EXPIRED: Final = "This key has expired. Give it a new `expires_in_days` first, or create a new one."


#: Live ones. A script gone wild must not fill the database.
MOST_KEYS: Final = 1000


class Keys:
    """Keys of any tenant; each method names whose. `secret` is the server's key for digests."""

    def __init__(self, db: Database, secret: bytes, models: Models, *, clock: Clock = now_us) -> None:
        self._db = db
        self._secret = secret
        self._models = models
        self._clock = clock

    async def create(self, tenant_id: str, new: NewKey) -> SecretKey:
        """Raises Problem 400, or 409 when a live key has the name or there are `MOST_KEYS`."""
        at = self._clock()
        text = new_key()
        key = KeyRow(
            id=new_uuid(at),
            hint=text[:HINT_LENGTH],
            is_active=True,
            created_us=at,
            **_columns(new, self._models.catalog, at),
        )

        def insert(db: Transaction) -> None:
            if key_rows.count_live(db, tenant_id) >= MOST_KEYS:
                raise Problem("conflict", f"There are {MOST_KEYS:,} live keys already. Revoke one first.")
            _check_name(db, tenant_id, key)
            key_rows.insert_row(db, tenant_id, key, key_digest(self._secret, text))

        await self._db.write(tenant_id, insert)
        return SecretKey(**_fields(key, at), key=text)

    async def page(self, tenant_id: str, query: KeyQuery) -> KeyPage:
        """Newest first."""
        after, at = read_cursor(query.before), self._clock()
        found = await self._db.read(
            tenant_id,
            lambda db: key_rows.list_rows(
                db, tenant_id, revoked=query.include_revoked, after=after, limit=query.limit + 1
            ),
        )
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].created_us, data[-1].id)) if len(found) > query.limit else None
        return KeyPage([Key(**_fields(key, at)) for key in data], cursor)

    async def find(self, tenant_id: str, key_id: str) -> Key:
        """Raises Problem 404."""
        key = await self._db.read(tenant_id, lambda db: _found(db, tenant_id, key_id))
        return Key(**_fields(key, self._clock()))

    async def change(self, tenant_id: str, key_id: str, change: KeyChange) -> Key:
        """Raises Problem 400, 404, or 409 for a revoked key and for a name that a live key has."""
        at = self._clock()
        columns = _columns(change, self._models.catalog, at)

        def update(db: Transaction) -> KeyRow:
            before = _live(db, tenant_id, key_id)
            after = before._replace(**columns)
            if after != before:
                _check_name(db, tenant_id, after)
                key_rows.update_row(db, tenant_id, after)
            return after

        return Key(**_fields(await self._db.write(tenant_id, update), at))

    async def rotate(self, tenant_id: str, key_id: str) -> SecretKey:
        """Another text for the same key; the old one stops at once. Raises Problem 404, 409 for a key that is over."""
        at, text = self._clock(), new_key()

        def replace(db: Transaction) -> KeyRow:
            key = _live(db, tenant_id, key_id)
            if key.expires_us is not None and key.expires_us <= at:
                raise Problem("conflict", EXPIRED)
            key_rows.replace_text(db, tenant_id, key_id, key_digest(self._secret, text), text[:HINT_LENGTH])
            return key._replace(hint=text[:HINT_LENGTH])

        return SecretKey(**_fields(await self._db.write(tenant_id, replace), at), key=text)

    async def revoke(self, tenant_id: str, key_id: str) -> None:
        """Switch it off for good; what it has running ends as it would. Raises Problem 404."""

        def switch_off(db: Transaction) -> None:
            _found(db, tenant_id, key_id)
            keys.revoke_key(db, tenant_id, key_id)

        await self._db.write(tenant_id, switch_off)

    async def rate_state(self, tenant_id: str, key_id: str) -> KeyRateState:
        """Raises Problem 404."""

        def read(db: Transaction) -> tuple[KeyRow, str]:
            return _found(db, tenant_id, key_id), members.read_tenant(db, tenant_id).plan

        key, plan = await self._db.read(tenant_id, read)
        at = self._clock()
        rate = look(Rate(key.rpm or self._models.catalog.plans[plan].rpm), key.tat_us, at)
        spent = key.spent_in(month_of(at))
        return KeyRateState(
            rate_limit_rpm=rate.limit,
            used=rate.limit - rate.remaining,
            remaining=rate.remaining,
            reset_at=iso_time(at + rate.reset_us),
            budget_limit=amount_or_none(key.budget_ucr),
            budget_used=credits_from_ucr(spent),
            budget_remaining=_remaining(key, spent),
        )


def _columns(given: NewKey | KeyChange, catalog: Catalog, at_us: int) -> dict[str, Any]:
    """What was sent, as it is kept. Raises Problem 400."""
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "name": ("name", lambda name: read_name(name, "name")),
        "permissions": ("permissions", key_lists.read_permissions),
        "scopes": ("scopes", key_lists.read_scopes),
        "allowed_domains": ("allowed_domains", key_lists.read_domains),
        "allowed_models": ("allowed_models", lambda models: key_lists.read_models(models, catalog)),
        "allowed_search_providers": ("allowed_search_providers", key_lists.read_search_providers),
        "rate_limit_rpm": ("rpm", lambda rpm: rpm),
        "budget_limit": ("budget_ucr", lambda budget: read_amount(budget, "budget_limit")),
        "logs_enabled": ("logs_enabled", bool),
        "prompt_logging_enabled": ("prompt_logging_enabled", bool),
        "expires_in_days": ("expires_us", lambda days: None if days is None else at_us + days * DAY_US),
    }
    return {
        column: read(value)
        for field, (column, read) in readers.items()
        if (value := getattr(given, field)) is not UNSET
    }


def _fields(key: KeyRow, at_us: int) -> dict[str, Any]:
    """The fields of `Key`."""
    spent = key.spent_in(month_of(at_us))
    left_us = None if key.expires_us is None else max(0, key.expires_us - at_us)
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "permissions": key.permissions,
        "scopes": key.scopes,
        "allowed_domains": key.allowed_domains,
        "allowed_models": key.allowed_models,
        "allowed_search_providers": key.allowed_search_providers,
        "rate_limit_rpm": key.rpm,
        "budget_limit": amount_or_none(key.budget_ucr),
        "budget_used": credits_from_ucr(spent),
        "budget_remaining": _remaining(key, spent),
        "logs_enabled": key.logs_enabled,
        "prompt_logging_enabled": key.prompt_logging_enabled,
        "expires_in_days": None if left_us is None else -(-left_us // DAY_US),
        "expires_at": iso_or_none(key.expires_us),
        "is_active": key.is_active,
        "created_at": iso_time(key.created_us),
    }


def _remaining(key: KeyRow, spent_ucr: int) -> float | None:
    return None if key.budget_ucr is None else credits_from_ucr(max(0, key.budget_ucr - spent_ucr))


def _found(db: Transaction, tenant_id: str, key_id: str) -> KeyRow:
    key = key_rows.find_row(db, tenant_id, key_id)
    if key is None:
        raise Problem("not_found", "There is no key with this id.")
    return key


def _live(db: Transaction, tenant_id: str, key_id: str) -> KeyRow:
    key = _found(db, tenant_id, key_id)
    if not key.is_active:
        raise Problem("conflict", REVOKED)
    return key


def _check_name(db: Transaction, tenant_id: str, key: KeyRow) -> None:
    if key_rows.find_live(db, tenant_id, key.name) not in (None, key.id):
        raise Problem("conflict", f"Another key is called {key.name!r}. Choose another name.", "name")
