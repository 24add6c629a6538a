"""Answers about sound, pictures, vectors and the web (spec.md sections 8, 10, 11 and 13)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from app.api.openapi.replies.chat import Tokens
from app.core.search import Mode, Result


class TranscriptText(Struct, frozen=True, kw_only=True):
    """The form `json`."""

    text: str


class TranscriptVerbose(Struct, frozen=True, kw_only=True):
    """The form `verbose_json`; `words` are there where the model has them."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: Annotated[float, Meta(description="seconds, as they are billed")]
    text: str
    segments: list[dict[str, Any]]
    words: list[dict[str, Any]]


class Embedding(Struct, frozen=True, kw_only=True):
    object: Literal["embedding"]
    index: int
    embedding: Annotated[list[float] | str, Meta(description="numbers, or base64 of little-endian float32")]


class EmbeddingUsage(Struct, frozen=True, kw_only=True):
    prompt_tokens: Tokens
    total_tokens: Tokens


class EmbeddingList(Struct, frozen=True, kw_only=True):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Image(Struct, frozen=True, kw_only=True):
    b64_json: str
    revised_prompt: str | None


class ImageList(Struct, frozen=True, kw_only=True):
    created: int
    data: list[Image]


class KeptImage(Struct, frozen=True, kw_only=True):
    id: str
    url: Annotated[str, Meta(description="good for ten minutes, without a key")]
    model: str
    size: str
    prompt: str
    negative_prompt: str | None
    revised_prompt: str | None
    seed: int | None
    steps: int | None
    created: str


class ImagePage(Struct, frozen=True, kw_only=True):
    data: list[KeptImage]
    next_cursor: Annotated[str | None, Meta(description="send it as `before` for the next page")]


class SearchReply(Struct, frozen=True, kw_only=True):
    query: str
    mode: Mode
    provider: Annotated[str, Meta(description="the provider that answered")]
    results: list[Result]
    answer: str | None
    images: list[dict[str, Any]] | None
    credits_used: float
    balance: float | None
    request_id: str
    latency_ms: int
