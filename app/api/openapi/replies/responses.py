"""A response object and the events of its stream (spec.md section 7, compat.md section 3)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.openapi.replies.chat import Tokens
from app.core.responses_fields import (
    FunctionTool,
    InputFile,
    InputImage,
    InputText,
    NamedTool,
    ReasoningOptions,
    TextOptions,
)

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputTextPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    text: str
    annotations: list[dict[str, Any]]
    logprobs: list[dict[str, Any]]


class OutputRefusalPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    refusal: str


class ReasoningTextPart(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning_text"):
    text: str


class OutputMessage(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    id: str
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputTextPart | OutputRefusalPart]


class OutputFunctionCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: Annotated[str, Meta(description="a JSON text")]


class OutputReasoning(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    id: str
    status: ItemStatus
    summary: list[dict[str, Any]]
    content: list[ReasoningTextPart]
    encrypted_content: Annotated[
        str | UnsetType | None, Meta(description="give it back with the next request to let the model go on thinking")
    ] = UNSET


OutputItem = OutputMessage | OutputFunctionCall | OutputReasoning


class InputTokensDetails(Struct, frozen=True, kw_only=True):
    cached_tokens: Tokens
    cache_write_tokens: Tokens


class OutputTokensDetails(Struct, frozen=True, kw_only=True):
    reasoning_tokens: Tokens


class ResponseUsage(Struct, frozen=True, kw_only=True):
    input_tokens: Tokens
    input_tokens_details: InputTokensDetails
    output_tokens: Tokens
    output_tokens_details: OutputTokensDetails
    total_tokens: Tokens


class ResponseError(Struct, frozen=True, kw_only=True):
    code: Literal["rate_limit_exceeded", "invalid_prompt", "server_error"]
    message: str


class IncompleteDetails(Struct, frozen=True, kw_only=True):
    reason: Literal["max_output_tokens", "content_filter"]


class Response(Struct, frozen=True, kw_only=True):
    """An answer, always with all its keys; many of them repeat the request."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False]
    model: str
    output: list[OutputItem]
    usage: ResponseUsage | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    service_tier: str
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: ReasoningOptions
    safety_identifier: str | None
    store: bool
    temperature: float
    text: TextOptions
    tool_choice: Literal["auto", "none", "required"] | NamedTool
    tools: list[FunctionTool]
    top_logprobs: int
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    truncation: Literal["auto", "disabled"]
    user: str | None


class DeletedResponse(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class KeptMessage(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    id: str
    status: str
    role: Literal["user", "assistant", "system", "developer"]
    content: list[InputText | InputImage | InputFile | OutputTextPart | OutputRefusalPart]


class KeptCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    id: str
    status: str
    call_id: str
    name: str
    arguments: str


class KeptCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"):
    id: str
    status: str
    call_id: str
    output: str | list[InputText | InputImage | InputFile]


class KeptReasoning(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    id: str
    status: str
    encrypted_content: str | UnsetType | None = UNSET


class InputItemList(Struct, frozen=True, kw_only=True):
    """One page of what was sent with the request."""

    object: Literal["list"]
    data: list[KeptMessage | KeptCall | KeptCallOutput | KeptReasoning]
    first_id: str | None
    last_id: str | None
    has_more: bool
