"""Bots: rows that members write and channels read. A deleted one stays as a row that its conversations name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from app.core.times import Place
from app.storage.database import Transaction


class StoredBot(NamedTuple):
    """One row; `config` is JSON, `secrets` is sealed JSON, "" without any."""

    id: str
    type: str
    name: str
    system_prompt: str
    config: str
    secrets: str
    is_active: bool
    created_us: int
    updated_us: int
    conversation_count: int = 0


_COLUMNS: Final = "id, type, name, system_prompt, config, secrets, is_active, created_at, updated_at"
_SELECT: Final = f"SELECT {_COLUMNS}, conversation_count FROM bots WHERE tenant_id = ? AND deleted_at IS NULL"


def insert_bot(db: Transaction, tenant_id: str, bot: StoredBot) -> None:
    db.do(
        f"INSERT INTO bots (tenant_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, *bot[:6], int(bot.is_active), bot.created_us, bot.updated_us),
    )


def find_bot(db: Transaction, tenant_id: str, bot_id: str) -> StoredBot | None:
    row = db.one(f"{_SELECT} AND id = ?", tenant_id, bot_id)
    return None if row is None else _bot(row)


def count_bots(db: Transaction, tenant_id: str) -> int:
    return int(db.all("SELECT COUNT(*) FROM bots WHERE tenant_id = ? AND deleted_at IS NULL", tenant_id)[0][0])


def list_bots(db: Transaction, tenant_id: str, *, kind: str | None, after: Place | None, limit: int) -> list[StoredBot]:
    """The next bots after a place, newest first."""
    conditions, values = "", [tenant_id]
    if kind is not None:
        conditions += " AND type = ?"
        values.append(kind)
    place: tuple[object, ...] = ()
    if after is not None:
        conditions += " AND (created_at, id) < (?, ?)"
        place = after
    rows = db.all(f"{_SELECT}{conditions} ORDER BY created_at DESC, id DESC LIMIT ?", *values, *place, limit)
    return [_bot(row) for row in rows]


def find_by_phone(db: Transaction, tenant_id: str, account: str, kinds: Sequence[str]) -> str | None:
    """The newest bot of these kinds whose configuration names this number as its `phone_number_id`."""
    places = ", ".join("?" * len(kinds))
    rows = db.all(
        f"SELECT id, config FROM bots WHERE tenant_id = ? AND deleted_at IS NULL AND type IN ({places}) "
        "AND config LIKE ? ORDER BY created_at DESC, id DESC",
        *(tenant_id, *kinds, f'%"phone_number_id":"{account}"%'),
    )
    return next((row[0] for row in rows if msgspec.json.decode(row[1]).get("phone_number_id") == account), None)


def update_bot(db: Transaction, tenant_id: str, bot: StoredBot) -> None:
    """Write what may change of a bot that is there."""
    db.do(
        "UPDATE bots SET name = ?, system_prompt = ?, config = ?, secrets = ?, is_active = ?, updated_at = ? "
        "WHERE tenant_id = ? AND id = ? AND deleted_at IS NULL",
        *(bot.name, bot.system_prompt, bot.config, bot.secrets, int(bot.is_active), bot.updated_us, tenant_id, bot.id),
    )


def delete_bot(db: Transaction, tenant_id: str, bot_id: str, at_us: int) -> bool:
    """Forget its prompt and secrets; False when there is no such bot."""
    sql = (
        "UPDATE bots SET deleted_at = ?, is_active = 0, system_prompt = '', config = '{}', secrets = '' "
        "WHERE tenant_id = ? AND id = ? AND deleted_at IS NULL"
    )
    return db.run(sql, at_us, tenant_id, bot_id) > 0


def _bot(row: tuple[object, ...]) -> StoredBot:
    bot = StoredBot(*row)  # type: ignore[arg-type]  # as the columns say
    return bot._replace(is_active=bool(bot.is_active))
