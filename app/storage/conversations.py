"""Conversations and their messages: rows that channels write and members read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from app.core.times import Place
from app.storage.database import Transaction


class StoredConversation(NamedTuple):
    """One row; `metadata` is JSON. `bot_name` is the bot's own, as it is called now."""

    id: str
    bot_id: str
    channel: str
    external_id: str
    status: str
    duration_seconds: int | None
    metadata: str
    autoreply: bool
    created_us: int
    updated_us: int
    bot_name: str = ""
    number_id: str = ""
    contact_id: str = ""
    failed_turns: int = 0
    #: Why a person should look at it, "" for no reason.
    flag: str = ""


class StoredMessage(NamedTuple):
    id: str
    conversation_id: str
    role: str
    content: str
    message_type: str
    tokens_used: int
    created_us: int
    #: Of what goes out: as far as it has come (`app.core.sends.State`).
    status: str = ""
    #: Orders the messages of a conversation as they came and went.
    seq: int = 0
    provider_us: int = 0
    provider_id: str = ""
    #: Who wrote it: contact, bot, member, phone (the business's own phone app), or "" before channels.
    author: str = ""
    author_id: str = ""
    turn_id: str = ""
    #: Of what came in: `open` until a turn has taken it up, then `answered`, or why nothing answers it.
    disposition: str = ""
    #: JSON: media, buttons, places ... (`channels.whatsapp.updates`), reactions to it.
    details: str = "{}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which conversations: what is None does not matter. `after` is the place where the page before ended."""

    channel: str | None = None
    status: str | None = None
    bot_id: str | None = None
    after: Place | None = None
    offset: int = 0
    limit: int = 50


_COLUMNS: Final = (
    "id, bot_id, channel, external_id, status, duration_seconds, metadata, autoreply, created_at, updated_at"
)
_SHOWN: Final = ", ".join(
    [*("c." + name for name in _COLUMNS.split(", ")), "b.name, c.number_id, c.contact_id, c.failed_turns, c.flag"]
)
_BOT: Final = "JOIN bots b ON b.tenant_id = c.tenant_id AND b.id = c.bot_id"
MESSAGE_COLUMNS: Final = (
    "id, conversation_id, role, content, message_type, tokens_used, created_at, status, seq, provider_at, provider_id, "
    "author, author_id, turn_id, disposition, details"
)


def insert_conversation(db: Transaction, tenant_id: str, conversation: StoredConversation) -> None:
    """A new conversation, which its bot counts."""
    counted = "UPDATE bots SET conversation_count = conversation_count + 1 WHERE tenant_id = ? AND id = ?"
    db.do(counted, tenant_id, conversation.bot_id)
    db.do(
        f"INSERT INTO conversations (tenant_id, {_COLUMNS}, number_id, contact_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, *conversation[:7], int(conversation.autoreply), *conversation[8:10]),
        *(conversation.number_id, conversation.contact_id),
    )


def find_conversation(db: Transaction, tenant_id: str, conversation_id: str) -> StoredConversation | None:
    sql = f"SELECT {_SHOWN} FROM conversations c {_BOT} WHERE c.tenant_id = ? AND c.id = ?"
    row = db.one(sql, tenant_id, conversation_id)
    return None if row is None else _conversation(row)


def list_conversations(db: Transaction, tenant_id: str, wanted: Wanted) -> list[StoredConversation]:
    """Those that changed last come first."""
    page, values = page_query(tenant_id, wanted)
    # SQLite takes the tables of a CROSS JOIN in the order in which they stand: the page comes first.
    rows = db.all(
        f"SELECT {_SHOWN} FROM ({page}) page CROSS JOIN conversations c {_BOT} "
        "WHERE c.tenant_id = ? AND c.id = page.id ORDER BY c.updated_at DESC, c.id DESC",
        *(*values, tenant_id),
    )
    return [_conversation(row) for row in rows]


def page_query(tenant_id: str, wanted: Wanted) -> tuple[str, list[Any]]:
    """Which conversations are on the page: read from an index alone, however deep the page is."""
    sql, values = "SELECT id FROM conversations WHERE tenant_id = ?", [tenant_id]
    for column in ("channel", "status", "bot_id"):
        value = getattr(wanted, column)
        if value is not None:
            sql += f" AND {column} = ?"
            values.append(value)
    place: tuple[Any, ...] = ()
    if wanted.after is not None:
        sql += " AND (updated_at, id) < (?, ?)"
        place = wanted.after
    sql += " ORDER BY updated_at DESC, id DESC LIMIT ? OFFSET ?"
    return sql, [*values, *place, wanted.limit, wanted.offset]


def set_status(db: Transaction, tenant_id: str, conversation_id: str, status: str, at_us: int) -> bool:
    """False when there is no such conversation."""
    sql = "UPDATE conversations SET status = ?, updated_at = ? WHERE tenant_id = ? AND id = ?"
    return db.run(sql, status, at_us, tenant_id, conversation_id) > 0


def set_autoreply(db: Transaction, tenant_id: str, conversation_id: str, enabled: bool, at_us: int) -> bool:
    """Whether the bot answers by itself; False when there is no such conversation."""
    sql = "UPDATE conversations SET autoreply = ?, updated_at = ? WHERE tenant_id = ? AND id = ?"
    return db.run(sql, int(enabled), at_us, tenant_id, conversation_id) > 0


def set_updated(db: Transaction, tenant_id: str, conversation_id: str, at_us: int) -> None:
    """Something was said in it."""
    sql = "UPDATE conversations SET updated_at = ? WHERE tenant_id = ? AND id = ? AND updated_at < ?"
    db.do(sql, at_us, tenant_id, conversation_id, at_us)


def set_flag(db: Transaction, tenant_id: str, conversation_id: str, flag: str) -> None:
    """Why a person should look at it; "" when there is no reason any more."""
    db.do("UPDATE conversations SET flag = ? WHERE tenant_id = ? AND id = ?", flag, tenant_id, conversation_id)


def raise_flag(db: Transaction, tenant_id: str, conversation_id: str, flag: str) -> None:
    """The same unless there is a reason already."""
    sql = "UPDATE conversations SET flag = ? WHERE tenant_id = ? AND id = ? AND flag = ''"
    db.do(sql, flag, tenant_id, conversation_id)


def clear_flag(db: Transaction, tenant_id: str, conversation_id: str, kept: str) -> None:
    """Nobody needs to look at it any more; the flag `kept` stays."""
    sql = "UPDATE conversations SET flag = '' WHERE tenant_id = ? AND id = ? AND flag <> ?"
    db.do(sql, tenant_id, conversation_id, kept)


def set_failed_turns(db: Transaction, tenant_id: str, conversation_id: str, count: int) -> None:
    """How many turns in a row have failed."""
    sql = "UPDATE conversations SET failed_turns = ? WHERE tenant_id = ? AND id = ?"
    db.do(sql, count, tenant_id, conversation_id)


def insert_message(db: Transaction, tenant_id: str, message: StoredMessage) -> None:
    places = ", ".join("?" * (1 + len(message)))
    db.do(f"INSERT INTO messages (tenant_id, {MESSAGE_COLUMNS}) VALUES ({places})", tenant_id, *message)


def last_seq(db: Transaction, tenant_id: str, conversation_id: str) -> int:
    """The greatest number that a message of this conversation has; 0 before the first."""
    row = db.one(
        "SELECT MAX(seq) FROM messages WHERE tenant_id = ? AND conversation_id = ?", tenant_id, conversation_id
    )
    return 0 if row is None else row[0] or 0


def list_messages(
    db: Transaction, tenant_id: str, conversation_id: str, *, after: Place | None, limit: int
) -> list[StoredMessage]:
    """Newest first."""
    condition = "" if after is None else " AND (created_at, id) < (?, ?)"
    place = () if after is None else after
    rows = db.all(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE tenant_id = ? AND conversation_id = ?{condition} "
        "ORDER BY created_at DESC, id DESC LIMIT ?",
        *(tenant_id, conversation_id, *place, limit),
    )
    return [StoredMessage(*row) for row in rows]


def _conversation(row: tuple[Any, ...]) -> StoredConversation:
    found = StoredConversation(*row)
    return found._replace(autoreply=bool(found.autoreply))
