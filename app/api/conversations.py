"""`/api/v1/conversations`: what was said to an organisation's bots, and who answers."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from app.api.exchange import Exchange, Headers
from app.api.openapi.errors import LIMITS, MODEL, PROVIDER
from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.conversations import (
    AutoreplyChange,
    Conversation,
    ConversationPage,
    ConversationQuery,
    Draft,
    MessagePage,
    MessageQuery,
    StatusChange,
)
from app.core.identity import Visitor
from app.storage.media import StoredMedia

ALL: Final = "/api/v1/conversations"
ONE: Final = f"{ALL}/<conversation_id>"
#: What the draft of an answer may be refused with.
DRAFT: Final = (
    *LIMITS,
    *MODEL,
    *PROVIDER,
    "unsupported_parameter",
    "voice_agent_only_model",
    "invalid_value",
    "conflict",
)
#: Whatever users send.
FILE: Final = "*/*"


def platform(services: ApiServices) -> Platform:
    api = Platform("conversations", services)
    conversations, office = services.conversations, services.office

    @api.add("GET", ALL, scope="conversations:read")
    async def list_conversations(visitor: Visitor, query: ConversationQuery) -> ConversationPage:
        """List conversations; those that changed last come first."""
        return await conversations.page(visitor.tenant_id, query)

    @api.add("GET", ONE, scope="conversations:read")
    async def show_conversation(visitor: Visitor, conversation_id: str) -> Conversation:
        """Show one conversation."""
        return await conversations.find(visitor.tenant_id, conversation_id)

    @api.add("GET", f"{ONE}/messages", scope="conversations:read")
    async def list_messages(visitor: Visitor, conversation_id: str, query: MessageQuery) -> MessagePage:
        """List the messages of a conversation, newest first."""
        return await conversations.messages(visitor.tenant_id, conversation_id, query)

    @api.add("PUT", f"{ONE}/status", scope="conversations:write")
    async def set_status(visitor: Visitor, conversation_id: str, body: StatusChange) -> Conversation:
        """Set a conversation's status. After `completed` the user's next message begins another conversation."""
        return await office.desk.set_status(visitor.tenant_id, conversation_id, body.status)

    @api.add("POST", f"{ONE}/autoreply", scope="conversations:write")
    async def set_autoreply(visitor: Visitor, conversation_id: str, body: AutoreplyChange) -> Conversation:
        """Let the bot answer the user's next message, or stop it at once.

        What it has not sent yet when it is stopped is not sent.
        """
        return await office.desk.set_autoreply(visitor.tenant_id, conversation_id, enabled=body.enabled)

    @api.add("POST", f"{ONE}/ai-draft", scope="conversations:write", errors=DRAFT)
    async def draft_answer(visitor: Visitor, conversation_id: str) -> Draft:
        """Write what the bot would answer. It is never sent, and costs what a chat call costs."""
        return await office.drafts.write(visitor.tenant_id, conversation_id)

    @api.add("GET", f"{ONE}/messages/<message_id>/media", scope="conversations:read", media=FILE)
    async def show_message_file(visitor: Visitor, conversation_id: str, message_id: str, exchange: Exchange) -> None:
        """Get the file that came with a message, as long as it is kept."""
        message = await conversations.message(visitor.tenant_id, conversation_id, message_id)
        file, row = await office.media.of_message(visitor.tenant_id, message.id)
        await exchange.reply(200, file_headers(row), file.data)

    return api


def file_headers(row: StoredMedia) -> Headers:
    """A browser saves it and runs nothing of it: it is what a stranger has sent."""
    return [
        (b"content-type", row.media_type.encode("latin1", "replace")),
        (b"cache-control", b"private, no-store"),
        (b"content-disposition", f"attachment; filename*=UTF-8''{quote(row.name or row.id, safe='')}".encode()),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        (b"x-content-type-options", b"nosniff"),
    ]
