"""What members see and change of their organisation's conversations; the channels write them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app.core.conversations import (
    Conversation,
    ConversationPage,
    ConversationQuery,
    Message,
    MessagePage,
    MessageQuery,
    Status,
)
from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.times import Place, iso_time, read_cursor, write_cursor
from app.storage import conversations as storage
from app.storage.conversations import StoredConversation, StoredMessage, Wanted
from app.storage.database import Database, Transaction


class Conversations:
    """Conversations of any tenant; each method names whose."""

    def __init__(self, db: Database, *, clock: Clock = now_us) -> None:
        self._db = db
        self._clock = clock

    async def page(self, tenant_id: str, query: ConversationQuery) -> ConversationPage:
        """Those that changed last come first."""
        after = read_cursor(query.before)
        wanted = Wanted(query.channel, query.status, query.bot_id, after, query.offset, query.limit + 1)
        found = await self._db.read(tenant_id, lambda db: storage.list_conversations(db, tenant_id, wanted))
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].updated_us, data[-1].id)) if len(found) > query.limit else None
        return ConversationPage([_conversation(tenant_id, one) for one in data], cursor)

    async def find(self, tenant_id: str, conversation_id: str) -> Conversation:
        """Raises Problem 404."""
        found = await self._db.read(tenant_id, lambda db: _found(db, tenant_id, conversation_id))
        return _conversation(tenant_id, found)

    async def messages(self, tenant_id: str, conversation_id: str, query: MessageQuery) -> MessagePage:
        """Newest first. Raises Problem 404."""
        after = read_cursor(query.before)

        def read(db: Transaction) -> list[StoredMessage]:
            _found(db, tenant_id, conversation_id)
            return storage.list_messages(db, tenant_id, conversation_id, after=after, limit=query.limit + 1)

        found = await self._db.read(tenant_id, read)
        data = found[: query.limit]
        cursor = write_cursor(Place(data[-1].created_us, data[-1].id)) if len(found) > query.limit else None
        return MessagePage([_message(one) for one in data], cursor)

    async def set_status(self, tenant_id: str, conversation_id: str, status: Status) -> Conversation:
        """Raises Problem 404."""
        at = self._clock()
        return await self._change(
            tenant_id, conversation_id, lambda db: storage.set_status(db, tenant_id, conversation_id, status, at)
        )

    async def set_autoreply(self, tenant_id: str, conversation_id: str, *, enabled: bool) -> Conversation:
        """Whether the bot answers by itself. Raises Problem 404."""
        at = self._clock()
        return await self._change(
            tenant_id, conversation_id, lambda db: storage.set_autoreply(db, tenant_id, conversation_id, enabled, at)
        )

    async def _change(
        self, tenant_id: str, conversation_id: str, change: Callable[[Transaction], bool]
    ) -> Conversation:
        def write(db: Transaction) -> StoredConversation:
            change(db)
            return _found(db, tenant_id, conversation_id)

        return _conversation(tenant_id, await self._db.write(tenant_id, write))


def _found(db: Transaction, tenant_id: str, conversation_id: str) -> StoredConversation:
    found = storage.find_conversation(db, tenant_id, conversation_id)
    if found is None:
        raise Problem("not_found", "There is no conversation with this id.")
    return found


def _conversation(tenant_id: str, row: StoredConversation) -> Conversation:
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
    )


def _message(row: StoredMessage) -> Message:
    return Message(
        id=row.id,
        conversation_id=row.conversation_id,
        role=row.role,  # type: ignore[arg-type]  # the table takes no other
        content=row.content,
        message_type=row.message_type,
        tokens_used=row.tokens_used,
        created_at=iso_time(row.created_us),
    )
