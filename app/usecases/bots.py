"""What an organisation does with its bots: make, read, change, delete them. Secrets of a configuration are sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from app.core.bots import Bot, BotChange, BotPage, BotQuery, NewBot, redacted, split_config
from app.core.errors import Problem
from app.core.identity import Clock, new_uuid, now_us
from app.core.sealing import Sealer
from app.core.times import Place, iso_time, read_cursor, write_cursor
from app.storage import bots
from app.storage.bots import StoredBot
from app.storage.database import Database, Transaction

#: A list that a person looks at; without a bound a script gone wild fills the database.
MOST_BOTS: Final = 1000


class Bots:
    """Bots of any tenant; each method names whose."""

    def __init__(self, db: Database, sealer: Sealer, *, clock: Clock = now_us) -> None:
        self._db = db
        self._sealer = sealer
        self._clock = clock

    async def create(self, tenant_id: str, new: NewBot) -> Bot:
        """Raises Problem 400 for a configuration that cannot be kept, 409 when there are `MOST_BOTS`."""
        at = self._clock()
        shown, secret = split_config(new.config, {})
        bot = StoredBot(
            id=new_uuid(at),
            type=new.type,
            name=new.name,
            system_prompt=new.system_prompt,
            config=_json(shown),
            secrets=self._seal(tenant_id, secret),
            is_active=new.is_active,
            created_us=at,
            updated_us=at,
        )

        def insert(db: Transaction) -> None:
            if bots.count_bots(db, tenant_id) >= MOST_BOTS:
                raise Problem("conflict", f"There are {MOST_BOTS:,} bots already. Delete one first.")
            bots.insert_bot(db, tenant_id, bot)

        await self._db.write(tenant_id, insert)
        return self._view(tenant_id, bot)

    async def find(self, tenant_id: str, bot_id: str) -> Bot:
        """Raises Problem 404."""
        return self._view(tenant_id, await self._db.read(tenant_id, lambda db: _found(db, tenant_id, bot_id)))

    async def page(self, tenant_id: str, query: BotQuery) -> BotPage:
        """Newest first."""
        after = read_cursor(query.before)
        found = await self._db.read(
            tenant_id, lambda db: bots.list_bots(db, tenant_id, kind=query.type, after=after, limit=query.limit + 1)
        )
        data = found[: query.limit]
        more = len(found) > query.limit
        cursor = write_cursor(Place(data[-1].created_us, data[-1].id)) if more else None
        return BotPage([self._view(tenant_id, bot) for bot in data], cursor)

    async def change(self, tenant_id: str, bot_id: str, change: BotChange) -> Bot:
        """Raises Problem 404, or 400 for a configuration that cannot be kept."""

        def changed(bot: StoredBot) -> StoredBot:
            given: dict[str, Any] = {
                name: value
                for name in ("name", "system_prompt", "is_active")
                if (value := getattr(change, name)) is not None
            }
            if change.config is not None:
                shown, secret = split_config(change.config, self._open(tenant_id, bot.secrets))
                given |= {"config": _json(shown), "secrets": self._seal(tenant_id, secret)}
            return bot._replace(**given)

        return await self._update(tenant_id, bot_id, changed)

    async def toggle(self, tenant_id: str, bot_id: str) -> Bot:
        """Switch it on or off. Raises Problem 404."""
        return await self._update(tenant_id, bot_id, lambda bot: bot._replace(is_active=not bot.is_active))

    async def delete(self, tenant_id: str, bot_id: str) -> None:
        """Its conversations stay. Raises Problem 404."""
        at = self._clock()
        if not await self._db.write(tenant_id, lambda db: bots.delete_bot(db, tenant_id, bot_id, at)):
            raise _missing()

    async def _update(self, tenant_id: str, bot_id: str, changed: Callable[[StoredBot], StoredBot]) -> Bot:
        at = self._clock()

        def update(db: Transaction) -> StoredBot:
            bot = changed(_found(db, tenant_id, bot_id))._replace(updated_us=at)
            bots.update_bot(db, tenant_id, bot)
            return bot

        return self._view(tenant_id, await self._db.write(tenant_id, update))

    def _view(self, tenant_id: str, bot: StoredBot) -> Bot:
        return Bot(
            id=bot.id,
            tenant_id=tenant_id,
            type=bot.type,  # type: ignore[arg-type]  # checked when it was made
            name=bot.name,
            system_prompt=bot.system_prompt,
            config=redacted(msgspec.json.decode(bot.config), self._open(tenant_id, bot.secrets)),
            is_active=bot.is_active,
            conversation_count=bot.conversation_count,
            created_at=iso_time(bot.created_us),
            updated_at=iso_time(bot.updated_us),
        )

    def _seal(self, tenant_id: str, secret: Mapping[str, str]) -> str:
        return self._sealer.seal(msgspec.json.encode(secret), _context(tenant_id)) if secret else ""

    def _open(self, tenant_id: str, sealed: str) -> dict[str, str]:
        if not sealed:
            return {}
        return msgspec.json.decode(self._sealer.open(sealed, _context(tenant_id)), type=dict[str, str])


def _context(tenant_id: str) -> str:
    return f"bot of {tenant_id}"


def _found(db: Transaction, tenant_id: str, bot_id: str) -> StoredBot:
    bot = bots.find_bot(db, tenant_id, bot_id)
    if bot is None:
        raise _missing()
    return bot


def _missing() -> Problem:
    return Problem("not_found", "There is no bot with this id.")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
