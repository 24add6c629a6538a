"""`/api/v1/conversations`: what was said to an organisation's bots, and who answers."""

from __future__ import annotations

from typing import Final

from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.conversations import (
    AutoreplyChange,
    Conversation,
    ConversationPage,
    ConversationQuery,
    MessagePage,
    MessageQuery,
    StatusChange,
)
from app.core.identity import Visitor

ALL: Final = "/api/v1/conversations"
ONE: Final = f"{ALL}/<conversation_id>"


def platform(services: ApiServices) -> Platform:
    api = Platform("conversations", services)
    conversations = services.conversations

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
        """Set a conversation's status."""
        return await conversations.set_status(visitor.tenant_id, conversation_id, body.status)

    @api.add("POST", f"{ONE}/autoreply", scope="conversations:write")
    async def set_autoreply(visitor: Visitor, conversation_id: str, body: AutoreplyChange) -> Conversation:
        """Let the bot answer by itself, or stop it."""
        return await conversations.set_autoreply(visitor.tenant_id, conversation_id, enabled=body.enabled)

    return api
