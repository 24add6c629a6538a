"""Anthropic's Messages API over the same models."""

from __future__ import annotations

from typing import Final

from app.api.openapi import headers
from app.api.openapi.described import Content, Described
from app.api.openapi.errors import BODY, KEY
from app.api.openapi.inference import CHAT, QUESTION, stream_of
from app.api.openapi.replies.messages import AnthropicMessage, MessageEvent, TokenCount
from app.api.openapi.samples import anthropic
from app.core.messages_fields import MessagesFields, PromptFields

OPERATIONS: Final = (
    Described(
        method="POST",
        path="/v1/messages",
        tag="messages",
        name="create_message",
        summary="Create a message",
        description=(
            "Every chat model in Anthropic's form, as one body or with `stream` true as events. Thinking is shown "
            "where it was asked for. Give the Anthropic SDK the host as `base_url`; the same is served under "
            "`/v1/v1/messages` and `/anthropic/v1/messages`. Needs the permission `llm`."
        ),
        security=("bearer", "x-api-key"),
        headers=(*headers.ASKED, "anthropic-version"),
        body=(Content(type=MessagesFields, example=QUESTION | {"max_tokens": 300}),),
        reply=(Content(type=AnthropicMessage), stream_of(MessageEvent)),
        reply_headers=headers.ANTHROPIC_CALL,
        errors=(*CHAT, "unsupported_tool_type"),
        form="anthropic",
        samples=anthropic(
            """
message = client.messages.create(
    model="kimi-k2.6",
    max_tokens=300,
    messages=[{"role": "user", "content": "Explain quicksort in one paragraph."}],
)
print(message.content[0].text)"""
        ),
    ),
    Described(
        method="POST",
        path="/v1/messages/count_tokens",
        tag="messages",
        name="count_message_tokens",
        summary="Count a prompt's tokens",
        description="An estimate, free of charge. Needs the permission `llm`.",
        security=("bearer", "x-api-key"),
        headers=("anthropic-version",),
        body=(Content(type=PromptFields, example=QUESTION),),
        reply=(Content(type=TokenCount),),
        reply_headers=("request-id",),
        errors=(*BODY, *KEY, "model_not_found", "unsupported_tool_type"),
        form="anthropic",
        samples=anthropic(
            """
count = client.messages.count_tokens(
    model="kimi-k2.6", messages=[{"role": "user", "content": "Explain quicksort in one paragraph."}]
)
print(count.input_tokens)"""
        ),
    ),
)
