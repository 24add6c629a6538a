"""What an organisation does with its bots: make, read, change, delete them. Secrets of a configuration are sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from app.core.bot_config import check_config
from app.core.bots import WHATSAPP, Bot, BotChange, BotPage, BotQuery, NewBot, phone_of, redacted, split_config
from app.core.errors import Problem
from app.core.identity import Clock, new_uuid, now_us
from app.core.sealing import Sealer
from app.core.times import Place, iso_time, read_cursor, write_cursor
from app.storage import bots, fallback_template, keys, numbers
from app.storage.bots import StoredBot
from app.storage.database import Database, Transaction

#: A list that a person looks at; without a bound a script gone wild fills the database.
MOST_BOTS: Final = 1000
#: The name in a bot's configuration of what calls of its functions are signed with.
TOOLS_SECRET: Final = "tools_secret"  # noqa: S105 - a name
SHORTEST_SECRET: Final = 16


class Bots:
    """Bots of any tenant; each method names whose. With `private` the hosts of their tools need not be public."""

    def __init__(self, db: Database, sealer: Sealer, *, private: bool = False, clock: Clock = now_us) -> None:
        self._db = db
        self._sealer = sealer
        self._private = private
        self._clock = clock

    async def create(self, tenant_id: str, new: NewBot) -> Bot:
        """Raises Problem 400 for a configuration that cannot be kept, 409 when there are `MOST_BOTS`."""
        at = self._clock()
        self._check(new.type, new.config)
        shown, secret = split_config(new.config, {})
        _check_signed(new.type, shown, secret)
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
            _link(db, tenant_id, bot, "{}")
            fallback_template.switch_on(db, tenant_id, bot.id)

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
                self._check(bot.type, change.config)
                shown, secret = split_config(change.config, self._open(tenant_id, bot.secrets))
                _check_signed(bot.type, shown, secret)
                given |= {"config": _json(shown), "secrets": self._seal(tenant_id, secret)}
            return bot._replace(**given)

        return await self._update(tenant_id, bot_id, changed, configured=change.config is not None)

    async def toggle(self, tenant_id: str, bot_id: str) -> Bot:
        """Switch it on or off. Raises Problem 404."""
        return await self._update(tenant_id, bot_id, lambda bot: bot._replace(is_active=not bot.is_active))

    async def delete(self, tenant_id: str, bot_id: str) -> None:
        """Its conversations stay; its numbers have no bot then, and nothing is spent for it. Raises Problem 404."""
        at = self._clock()

        def delete(db: Transaction) -> bool:
            numbers.unlink_bot(db, tenant_id, bot_id, at)
            keys.revoke_key(db, tenant_id, bot_id)
            return bots.delete_bot(db, tenant_id, bot_id, at)

        if not await self._db.write(tenant_id, delete):
            raise _missing()

    async def _update(
        self, tenant_id: str, bot_id: str, changed: Callable[[StoredBot], StoredBot], *, configured: bool = False
    ) -> Bot:
        """`configured`: its configuration was set, if perhaps to what it was: a template that was refused is tried."""
        at = self._clock()

        def update(db: Transaction) -> StoredBot:
            before = _found(db, tenant_id, bot_id)
            bot = changed(before)._replace(updated_us=at)
            bots.update_bot(db, tenant_id, bot)
            _link(db, tenant_id, bot, before.config)
            if configured:
                fallback_template.switch_on(db, tenant_id, bot_id)
            return bot

        return self._view(tenant_id, await self._db.write(tenant_id, update))

    def _check(self, kind: str, config: Mapping[str, Any]) -> None:
        """Raises Problem 400 for what a bot that writes cannot do."""
        if kind in WHATSAPP:
            check_config(config, private=self._private)

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


def _link(db: Transaction, tenant_id: str, bot: StoredBot, before: str) -> None:
    """Let the bot answer at the number that its configuration names now, and not at the one that it named before."""
    old, new = (phone_of(msgspec.json.decode(config)) for config in (before, bot.config))
    if bot.type not in WHATSAPP or old == new:
        return
    if old:
        numbers.unlink_bot(db, tenant_id, bot.id, bot.updated_us, old)
    if new:
        numbers.link_account(db, tenant_id, new, bot.id, bot.updated_us)


def _check_signed(kind: str, shown: Mapping[str, Any], secret: Mapping[str, str]) -> None:
    """Functions of a bot are never called unsigned. Raises Problem 400."""
    if kind in WHATSAPP and shown.get("tools") and len(secret.get(TOOLS_SECRET, "")) < SHORTEST_SECRET:
        message = (
            f"config.tools needs config.{TOOLS_SECRET} of {SHORTEST_SECRET} characters or more: it signs the calls."
        )
        raise Problem("invalid_value", message, f"config.{TOOLS_SECRET}")


def tools_secret(sealer: Sealer, tenant_id: str, sealed: str) -> str:
    """What calls of a bot's functions are signed with; "" when it has none that can be read."""
    try:
        opened = sealer.open(sealed, _context(tenant_id)) if sealed else b"{}"
    except ValueError:
        return ""
    return msgspec.json.decode(opened, type=dict[str, str]).get(TOOLS_SECRET, "")


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
