"""Conversations and their messages as the platform API shows them (spec.md section 16)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.core.chat_fields import Body, Wire
from app.core.times import Cursor, PageSize

Channel = Literal["whatsapp", "voice", "web"]
Status = Literal["active", "completed", "escalated", "failed"]
Author = Literal["user", "assistant"]
#: Further on a page takes as long as reading all before it: then a cursor is the way.
DEEPEST_OFFSET = 10_000
Offset = Annotated[int, Meta(ge=0, le=DEEPEST_OFFSET, description="to go further use `before`")]


class ConversationQuery(Wire, frozen=True):
    limit: PageSize = 50
    offset: Offset = 0
    before: Cursor | None = None
    channel: Channel | None = None
    status: Status | None = None
    bot_id: str | None = None


class MessageQuery(Wire, frozen=True):
    limit: PageSize = 50
    before: Cursor | None = None


class StatusChange(Body, frozen=True):
    """The body of PUT /api/v1/conversations/{id}/status."""

    status: Status


class AutoreplyChange(Body, frozen=True):
    """The body of POST /api/v1/conversations/{id}/autoreply."""

    enabled: bool


class Conversation(msgspec.Struct, frozen=True):
    id: str
    tenant_id: str
    bot_id: str
    channel: Channel
    external_id: str
    status: Status
    duration_seconds: int | None
    metadata: dict[str, Any]
    ai_autoreply_enabled: bool
    created_at: str
    updated_at: str
    bot_name: str


class ConversationPage(msgspec.Struct, frozen=True):
    data: list[Conversation]
    next_cursor: str | None


class Message(msgspec.Struct, frozen=True):
    id: str
    conversation_id: str
    role: Author
    content: str
    message_type: str
    tokens_used: int
    created_at: str


class MessagePage(msgspec.Struct, frozen=True):
    data: list[Message]
    next_cursor: str | None
