"""A chat answer: one completion, or the chunks of a stream (spec.md sections 5.3 and 5.7)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from app.core.chat_fields import ToolCall

Finish = Literal["stop", "length", "tool_calls", "content_filter"]
Tokens = Annotated[int, Meta(ge=0)]


class PromptTokensDetails(Struct, frozen=True, kw_only=True):
    cached_tokens: Tokens
    audio_tokens: Tokens
    cache_write_tokens: Tokens


class CompletionTokensDetails(Struct, frozen=True, kw_only=True):
    reasoning_tokens: Tokens
    audio_tokens: Tokens
    accepted_prediction_tokens: Tokens
    rejected_prediction_tokens: Tokens


class CompletionUsage(Struct, frozen=True, kw_only=True):
    """Always with all its keys."""

    prompt_tokens: Tokens
    completion_tokens: Tokens
    total_tokens: Tokens
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class Logprobs(Struct, frozen=True, kw_only=True):
    content: list[dict[str, Any]] | None
    refusal: list[dict[str, Any]] | None


class CompletionMessage(Struct, frozen=True, kw_only=True):
    role: Literal["assistant"]
    content: Annotated[str | None, Meta(description="null only beside `tool_calls`")]
    refusal: str | None
    reasoning_content: Annotated[str | UnsetType, Meta(description="what the model thought, if it shows it")] = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET
    reasoning_details: list[dict[str, Any]] | UnsetType = UNSET
    annotations: Annotated[list[dict[str, Any]] | UnsetType, Meta(description="citations of a web search")] = UNSET
    images: list[dict[str, Any]] | UnsetType = UNSET
    audio: dict[str, Any] | UnsetType = UNSET


class CompletionChoice(Struct, frozen=True, kw_only=True):
    index: int
    message: CompletionMessage
    logprobs: Logprobs | None
    finish_reason: Finish


class Completion(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: Annotated[str, Meta(description="the key to the call's receipt at `/v1/generation`")]
    object: Literal["chat.completion"]
    created: int
    model: Annotated[str, Meta(description="the model that served")]
    system_fingerprint: None
    choices: list[CompletionChoice]
    usage: CompletionUsage


class ChunkFunction(Struct, frozen=True, kw_only=True):
    arguments: Annotated[str, Meta(description="a fragment: all of them in a row are one JSON text")]
    name: str | UnsetType = UNSET


class ChunkToolCall(Struct, frozen=True, kw_only=True):
    """`id`, `type` and `function.name` come with the first fragment of a call only."""

    index: int
    function: ChunkFunction
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ChunkDelta(Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    tool_calls: list[ChunkToolCall] | UnsetType = UNSET
    reasoning_details: list[dict[str, Any]] | UnsetType = UNSET
    annotations: list[dict[str, Any]] | UnsetType = UNSET
    images: list[dict[str, Any]] | UnsetType = UNSET
    audio: dict[str, Any] | UnsetType = UNSET


class ChunkChoice(Struct, frozen=True, kw_only=True):
    index: int
    delta: ChunkDelta
    logprobs: Logprobs | None
    finish_reason: Finish | None


class CompletionChunk(Struct, frozen=True, kw_only=True):
    """One event. The first has the role, the last of each choice its `finish_reason`, and `[DONE]` ends the stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: None
    choices: list[ChunkChoice]
    usage: Annotated[
        CompletionUsage | UnsetType | None,
        Meta(description="with `stream_options.include_usage` only: null but in the last chunk, which has no choices"),
    ] = UNSET
