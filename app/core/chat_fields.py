"""The wire fields of POST /v1/chat/completions with their types and bounds (spec.md sections 5.1, 5.2, 5.6)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Name = Annotated[str, Meta(min_length=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
TokenLimit = Annotated[int, Meta(ge=1, le=1_048_576)]
PluginId = Literal["web", "file-parser", "response-healing", "context-compression"]

#: Meant for slash ids; on a bare id all but `models` and `reasoning` are dropped like tuning fields (section 5.2).
FRONTIER_FIELDS: Final = frozenset({"provider", "models", "route", "plugins", "reasoning", "transforms"})
#: They change the result or the bill: an upstream without one means 400 `unsupported_parameter` (section 5.1, C16).
SHAPING_FIELDS: Final = frozenset(
    {"max_completion_tokens", "max_tokens", "n", "response_format", "stop", "tool_choice", "tools"}
)
#: An upstream without one is called without it, and `X-CM-Dropped-Params` says so (section 5.1).
TUNING_FIELDS: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "repetition_penalty",
        "seed",
        "structured_outputs",
        "temperature",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
    }
)


class Wire(msgspec.Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """An object of the request; fields it does not name are allowed and stay in the raw body."""

    def __repr__(self) -> str:
        """The name only: what a user wrote must not reach a log (design.md, invariant 7)."""
        return f"<{type(self).__name__}>"


class Body(Wire, frozen=True, forbid_unknown_fields=True):
    """The body of a platform request. A field that it does not know is refused: a misspelt limit must not be none."""


class ImageUrl(Wire, frozen=True):
    url: Name
    detail: str | None = None


class TextPart(Wire, frozen=True, tag_field="type", tag="text"):
    text: str


class ImagePart(Wire, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class RefusalPart(Wire, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class AudioPart(Wire, frozen=True, tag_field="type", tag="input_audio"):
    input_audio: dict[str, Any]


class FilePart(Wire, frozen=True, tag_field="type", tag="file"):
    file: dict[str, Any]


class VideoPart(Wire, frozen=True, tag_field="type", tag="video_url"):
    video_url: dict[str, Any]


Part = TextPart | ImagePart | RefusalPart | AudioPart | FilePart | VideoPart


class CalledFunction(Wire, frozen=True):
    name: Name
    arguments: str


class ToolCall(Wire, frozen=True):
    id: Name
    function: CalledFunction
    type: Literal["function"] = "function"


class Message(Wire, frozen=True):
    """Null, empty and absent content are three things (compat.md C13)."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | UnsetType | None = UNSET
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[ToolCall] | None = None


class FunctionSpec(Wire, frozen=True):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Wire, frozen=True):
    type: Literal["function"]
    function: FunctionSpec


class NamedFunction(Wire, frozen=True):
    name: Name


class NamedTool(Wire, frozen=True):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Wire, frozen=True):
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(Wire, frozen=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Wire, frozen=True):
    include_usage: bool | None = None


Price = Annotated[float, Meta(ge=0)]


class MaxPrice(Wire, frozen=True):
    input: Price | None = None
    output: Price | None = None
    prompt: Price | None = None
    completion: Price | None = None


class ProviderPreferences(Wire, frozen=True):
    sort: Literal["price", "latency", "throughput"] | None = None
    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    max_price: MaxPrice | None = None


class Plugin(Wire, frozen=True):
    id: PluginId
    enabled: bool | None = None


class Reasoning(Wire, frozen=True):
    effort: Name | None = None
    max_tokens: TokenLimit | None = None


class ChatFields(Wire, frozen=True):
    """Every parameter as sent; null means absent. The rules between them are in `chat_rules`."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=2000)]
    model: Name | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    n: Annotated[int, Meta(ge=1, le=5)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=200)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: bool | None = None
    stream_options: StreamOptions | None = None
    reasoning_effort: Name | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=1024)] | None = None
    provider: ProviderPreferences | None = None
    models: Annotated[list[Name], Meta(max_length=32)] | None = None
    route: Literal["fallback"] | None = None
    plugins: list[PluginId | Plugin] | None = None
    reasoning: Reasoning | None = None
    transforms: list[Literal["middle-out"]] | None = None


KNOWN_FIELDS: Final = frozenset(ChatFields.__struct_encode_fields__)
