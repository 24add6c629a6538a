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
    number_id: str | None
    flag: Annotated[str | None, Meta(description="why a person should look at it")]


class ConversationPage(msgspec.Struct, frozen=True):
    data: list[Conversation]
    next_cursor: str | None


class MessageFile(msgspec.Struct, frozen=True):
    """What came or went with a message; one that `is_kept` can be had at the message's `/media`."""

    media_type: str
    name: str
    is_kept: bool


class Message(msgspec.Struct, frozen=True):
    """`status` tells how far one of ours has come, `disposition` what became of one that came in: `open` until a turn
    has taken it up, then `answered`, or why nothing answers it.
    """

    id: str
    conversation_id: str
    role: Author
    content: str
    message_type: str
    tokens_used: int
    created_at: str
    status: str | None
    author: Annotated[str | None, Meta(description="contact, bot, member, key, or phone: the business's own app")]
    author_id: str | None
    disposition: str | None
    turn_id: str | None
    wamid: Annotated[str | None, Meta(description="what the provider calls it")]
    reply_to: Annotated[str | None, Meta(description="what the provider calls the message that it answers")]
    choice_id: Annotated[str | None, Meta(description="of the button or row that was tapped")]
    file: MessageFile | None
    reactions: list[str]
    is_edited: bool
    is_deleted: bool
    is_transcript: Annotated[bool, Meta(description="the content was spoken")]


class Draft(msgspec.Struct, frozen=True):
    """What the bot would say. It is not sent."""

    draft: str


class MessagePage(msgspec.Struct, frozen=True):
    data: list[Message]
    next_cursor: str | None
