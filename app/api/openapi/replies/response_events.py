"""The events of a streamed response, each a type of its own: numbered from 0 without a gap."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from app.api.openapi.replies.responses import (
    OutputItem,
    OutputRefusalPart,
    OutputTextPart,
    ReasoningTextPart,
    Response,
)


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    sequence_number: int


class ResponseCreated(Event, frozen=True, kw_only=True, tag="response.created"):
    response: Response


class ResponseInProgress(Event, frozen=True, kw_only=True, tag="response.in_progress"):
    """Also the sign of life in a silence, with the output so far."""

    response: Response


class ResponseCompleted(Event, frozen=True, kw_only=True, tag="response.completed"):
    response: Response


class ResponseIncomplete(Event, frozen=True, kw_only=True, tag="response.incomplete"):
    response: Response


class ResponseFailed(Event, frozen=True, kw_only=True, tag="response.failed"):
    response: Response


class OutputItemAdded(Event, frozen=True, kw_only=True, tag="response.output_item.added"):
    output_index: int
    item: OutputItem


class OutputItemDone(Event, frozen=True, kw_only=True, tag="response.output_item.done"):
    output_index: int
    item: OutputItem


class ItemEvent(Event, frozen=True, kw_only=True):
    item_id: str
    output_index: int


class PartEvent(ItemEvent, frozen=True, kw_only=True):
    content_index: int


class ContentPartAdded(PartEvent, frozen=True, kw_only=True, tag="response.content_part.added"):
    part: OutputTextPart | OutputRefusalPart | ReasoningTextPart


class ContentPartDone(PartEvent, frozen=True, kw_only=True, tag="response.content_part.done"):
    part: OutputTextPart | OutputRefusalPart | ReasoningTextPart


class OutputTextDelta(PartEvent, frozen=True, kw_only=True, tag="response.output_text.delta"):
    delta: str
    logprobs: list[dict[str, Any]]


class OutputTextDone(PartEvent, frozen=True, kw_only=True, tag="response.output_text.done"):
    text: str
    logprobs: list[dict[str, Any]]


class AnnotationAdded(PartEvent, frozen=True, kw_only=True, tag="response.output_text.annotation.added"):
    annotation_index: int
    annotation: dict[str, Any]


class RefusalDelta(PartEvent, frozen=True, kw_only=True, tag="response.refusal.delta"):
    delta: str


class RefusalDone(PartEvent, frozen=True, kw_only=True, tag="response.refusal.done"):
    refusal: str


class ReasoningTextDelta(PartEvent, frozen=True, kw_only=True, tag="response.reasoning_text.delta"):
    delta: str


class ReasoningTextDone(PartEvent, frozen=True, kw_only=True, tag="response.reasoning_text.done"):
    text: str


class FunctionCallArgumentsDelta(ItemEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"):
    delta: str


class FunctionCallArgumentsDone(ItemEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"):
    name: str
    arguments: str


ResponseEvent = (
    ResponseCreated
    | ResponseInProgress
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | AnnotationAdded
    | RefusalDelta
    | RefusalDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | FunctionCallArgumentsDelta
    | FunctionCallArgumentsDone
)
