"""The wire fields of POST /v1/messages with their types and bounds (spec.md section 9.2)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from app.core.chat_fields import Name, TokenLimit, Wire

MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]


class Base64Source(Wire, frozen=True, tag_field="type", tag="base64"):
    media_type: MediaType
    data: Name


class UrlSource(Wire, frozen=True, tag_field="type", tag="url"):
    url: Name


class TextSource(Wire, frozen=True):
    type: Literal["text"]
    data: str


class TextBlock(Wire, frozen=True, tag_field="type", tag="text"):
    text: str


class ImageBlock(Wire, frozen=True, tag_field="type", tag="image"):
    source: Base64Source | UrlSource


class DocumentBlock(Wire, frozen=True, tag_field="type", tag="document"):
    source: TextSource
    title: str | None = None
    context: str | None = None


class ToolUseBlock(Wire, frozen=True, tag_field="type", tag="tool_use"):
    id: Name
    name: Name
    input: dict[str, Any]


class ToolResultBlock(Wire, frozen=True, tag_field="type", tag="tool_result"):
    tool_use_id: Name
    content: str | list[TextBlock | ImageBlock | DocumentBlock] | None = None
    is_error: bool | None = None


class ThinkingBlock(Wire, frozen=True, tag_field="type", tag="thinking"):
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Wire, frozen=True, tag_field="type", tag="redacted_thinking"):
    data: str


Block = TextBlock | ImageBlock | DocumentBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock
#: Who may say what; another block in a turn is a 400.
SAYS: Final[dict[str, tuple[type, ...]]] = {
    "system": (TextBlock,),
    "user": (TextBlock, ImageBlock, DocumentBlock, ToolResultBlock),
    "assistant": (TextBlock, ToolUseBlock, ThinkingBlock, RedactedThinkingBlock),
}


class Turn(Wire, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class MessagesTool(Wire, frozen=True):
    """`type` other than custom is a tool of Anthropic's own servers."""

    name: Name
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class AutoChoice(Wire, frozen=True, tag_field="type", tag="auto"):
    disable_parallel_tool_use: bool | None = None


class AnyChoice(Wire, frozen=True, tag_field="type", tag="any"):
    disable_parallel_tool_use: bool | None = None


class NoChoice(Wire, frozen=True, tag_field="type", tag="none"):
    pass


class ToolChoice(Wire, frozen=True, tag_field="type", tag="tool"):
    name: Name
    disable_parallel_tool_use: bool | None = None


class ThinkingOff(Wire, frozen=True, tag_field="type", tag="disabled"):
    pass


class ThinkingOn(Wire, frozen=True, tag_field="type", tag="enabled"):
    budget_tokens: TokenLimit


class ThinkingAdaptive(Wire, frozen=True, tag_field="type", tag="adaptive"):
    pass


class ThinkingBetweenTools(Wire, frozen=True, tag_field="type", tag="between_tools"):
    pass


class OutputFormat(Wire, frozen=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Wire, frozen=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(Wire, frozen=True):
    user_id: Annotated[str, Meta(max_length=1024)] | None = None


class SystemBlock(Wire, frozen=True):
    type: Literal["text"]
    text: str


class PromptFields(Wire, frozen=True):
    """What `count_tokens` reads; null means absent."""

    model: Name
    messages: Annotated[list[Turn], Meta(min_length=1, max_length=2000)]
    system: str | list[SystemBlock] | None = None
    tools: Annotated[list[MessagesTool], Meta(max_length=128)] | None = None
    tool_choice: AutoChoice | AnyChoice | NoChoice | ToolChoice | None = None
    thinking: ThinkingOn | ThinkingOff | ThinkingAdaptive | ThinkingBetweenTools | None = None
    output_config: OutputConfig | None = None


class MessagesFields(PromptFields, frozen=True, kw_only=True):
    """Every parameter as sent. The rules between them are in `messages`."""

    max_tokens: TokenLimit
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=500)] | None = None
    stop_sequences: Annotated[list[Name], Meta(max_length=16)] | None = None
    metadata: Metadata | None = None


KNOWN_FIELDS: Final = frozenset(MessagesFields.__struct_encode_fields__)
