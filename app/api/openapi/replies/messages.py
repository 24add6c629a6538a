"""An answer in Anthropic's form: one message, or the events of a stream (spec.md section 9.3)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from app.api.openapi.replies.chat import Tokens
from app.api.openapi.replies.errors import AnthropicErrorObject
from app.api.openapi.replies.models import Pricing
from catalog.models import Category

StopReason = Literal["end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence"]


class TextContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    text: str


class ThinkingContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class RedactedThinkingContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="redacted_thinking"):
    data: str


class ToolUseContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


AnswerBlock = TextContent | ThinkingContent | RedactedThinkingContent | ToolUseContent


class MessageUsage(Struct, frozen=True, kw_only=True):
    """Cached and written tokens stand beside the input: the three are the prompt."""

    input_tokens: Tokens
    cache_creation_input_tokens: Tokens
    cache_read_input_tokens: Tokens
    output_tokens: Tokens


class AnthropicMessage(Struct, frozen=True, kw_only=True):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: Annotated[str, Meta(description="as the request named it")]
    content: list[AnswerBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(Struct, frozen=True, kw_only=True):
    input_tokens: Tokens


class MessageStart(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_start"):
    message: AnthropicMessage


class ContentBlockStart(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_start"):
    index: int
    content_block: AnswerBlock


class TextGrowth(Struct, frozen=True, kw_only=True, tag_field="type", tag="text_delta"):
    text: str


class InputGrowth(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_json_delta"):
    partial_json: str


class ThinkingGrowth(Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking_delta"):
    thinking: str


class SignatureGrowth(Struct, frozen=True, kw_only=True, tag_field="type", tag="signature_delta"):
    signature: str


class ContentBlockDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_delta"):
    index: int
    delta: TextGrowth | InputGrowth | ThinkingGrowth | SignatureGrowth


class ContentBlockStop(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_stop"):
    index: int


class MessageEnding(Struct, frozen=True, kw_only=True):
    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_delta"):
    delta: MessageEnding
    usage: MessageUsage


class MessageStop(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_stop"):
    pass


class Ping(Struct, frozen=True, kw_only=True, tag_field="type", tag="ping"):
    """A sign of life in a silence."""


class ErrorEvent(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """How a stream ends that cannot go on."""

    error: AnthropicErrorObject
    request_id: str


MessageEvent = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
)


class AnthropicModel(Struct, frozen=True, kw_only=True):
    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    max_input_tokens: int | None
    description: str
    category: Category
    context_window: int | None
    context_length: int | None
    pricing: Pricing | None
    aliases: list[str]
    supports_streaming: bool
    supports_tools: bool
    supports_reasoning: bool
    supports_vision: bool


class AnthropicModelList(Struct, frozen=True, kw_only=True):
    """All models on one page."""

    data: list[AnthropicModel]
    has_more: Literal[False]
    first_id: str | None
    last_id: str | None
