"""What members see of their organisation's conversations; the channels write and change them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.core.conversations import (
    Conversation,
    ConversationPage,
    ConversationQuery,
    Message,
    MessageFile,
    MessagePage,
    MessageQuery,
)
from app.core.errors import Problem
from app.core.times import Place, iso_time, read_cursor, write_cursor
from app.storage import conversations as storage
from app.storage import media, sent_messages
from app.storage.conversations import StoredConversation, StoredMessage, Wanted
from app.storage.database import Database, Transaction

#: What the ids of turns begin with; what a person writes belongs to none.
TURN: Final = "turn_"


class Conversations:
    """Conversations of any tenant; each method names whose."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, tenant_id: str, query: ConversationQuery) -> ConversationPage:
        """Those that changed last come first."""
        after = read_cursor(query.before)
        wanted = Wanted(query.channel, query.status, query.bot_id, after, query.offset, query.limit + 1)
        found = await self._db.read(tenant_id, lambda db: storage.list_conversations(db, tenant_id, wanted))
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].updated_us, data[-1].id)) if len(found) > query.limit else None
        return ConversationPage([shown_conversation(tenant_id, one) for one in data], cursor)

    async def find(self, tenant_id: str, conversation_id: str) -> Conversation:
        """Raises Problem 404."""
        found = await self._db.read(tenant_id, lambda db: found_conversation(db, tenant_id, conversation_id))
        return shown_conversation(tenant_id, found)

    async def messages(self, tenant_id: str, conversation_id: str, query: MessageQuery) -> MessagePage:
        """Newest first. Raises Problem 404."""
        after = read_cursor(query.before)

        def read(db: Transaction) -> tuple[list[StoredMessage], set[str]]:
            found_conversation(db, tenant_id, conversation_id)
            found = storage.list_messages(db, tenant_id, conversation_id, after=after, limit=query.limit + 1)
            return found, media.with_file(db, tenant_id, [one.id for one in found])

        found, kept = await self._db.read(tenant_id, read)
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].created_us, data[-1].id)) if len(found) > query.limit else None
        return MessagePage([_message(one, is_kept=one.id in kept) for one in data], cursor)

    async def message(self, tenant_id: str, conversation_id: str, message_id: str) -> StoredMessage:
        """Raises Problem 404."""

        def read(db: Transaction) -> StoredMessage:
            found = sent_messages.find_message(db, tenant_id, message_id)
            if found is None or found.conversation_id != conversation_id:
                raise Problem("not_found", "There is no message with this id in the conversation.")
            return found

        return await self._db.read(tenant_id, read)


def found_conversation(db: Transaction, tenant_id: str, conversation_id: str) -> StoredConversation:
    """Raises Problem 404."""
    found = storage.find_conversation(db, tenant_id, conversation_id)
    if found is None:
        raise Problem("not_found", "There is no conversation with this id.")
    return found


def shown_conversation(tenant_id: str, row: StoredConversation) -> Conversation:
    return Conversation(
        id=row.id,
        tenant_id=tenant_id,
        bot_id=row.bot_id,
        channel=row.channel,  # type: ignore[arg-type]  # the table takes no other
        external_id=row.external_id,
        status=row.status,  # type: ignore[arg-type]  # the table takes no other
        duration_seconds=row.duration_seconds,
        metadata=msgspec.json.decode(row.metadata),
        ai_autoreply_enabled=row.autoreply,
        created_at=iso_time(row.created_us),
        updated_at=iso_time(row.updated_us),
        bot_name=row.bot_name,
        number_id=row.number_id or None,
        flag=row.flag or None,
    )


def _message(row: StoredMessage, *, is_kept: bool) -> Message:
    details = msgspec.json.decode(row.details)
    return Message(
        id=row.id,
        conversation_id=row.conversation_id,
        role=row.role,  # type: ignore[arg-type]  # the table takes no other
        content=row.content,
        message_type=row.message_type,
        tokens_used=row.tokens_used,
        created_at=iso_time(row.created_us),
        status=row.status or None,
        author=row.author or None,
        author_id=row.author_id or None,
        disposition=row.disposition or None,
        turn_id=row.turn_id if row.turn_id.startswith(TURN) else None,
        wamid=row.provider_id or None,
        reply_to=details.get("reply_to") or None,
        choice_id=details.get("choice_id") or None,
        file=_file(details, is_kept=is_kept),
        reactions=[emoji for emoji in (details.get("reactions") or {}).values() if emoji],
        is_edited=bool(details.get("edited")),
        is_deleted=bool(details.get("revoked")),
        is_transcript=bool(details.get("transcript")),
    )


def _file(details: dict[str, Any], *, is_kept: bool) -> MessageFile | None:
    told = details.get("media") or {}
    if not (told or is_kept):
        return None
    return MessageFile(media_type=told.get("media_type") or "", name=told.get("name") or "", is_kept=is_kept)
