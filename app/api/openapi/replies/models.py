"""The catalog as clients see it (spec.md section 6)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from catalog.models import Category, Status

Usd = Annotated[float, Meta(ge=0)]


class Pricing(Struct, frozen=True, kw_only=True):
    """US dollars: `input` and `output` per million tokens, or one `price` per unit."""

    unit: Literal[
        "per_million_tokens", "per_hour", "per_10k_characters", "per_image", "per_search", "per_minute", "per_by_pick"
    ]
    currency: Literal["USD"]
    input: Usd | UnsetType = UNSET
    output: Usd | UnsetType = UNSET
    cached_input: Usd | UnsetType = UNSET
    per_minute: Usd | UnsetType = UNSET
    price: Usd | UnsetType = UNSET


class Model(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    description: str
    category: Category
    context_window: Annotated[int | None, Meta(description="tokens of prompt and answer together")]
    context_length: Annotated[int | None, Meta(description="the same under its other name")]
    free: Annotated[bool, Meta(description="whether the free plan may call it")]
    supports_streaming: bool
    supports_tools: bool
    supports_reasoning: bool
    supports_vision: bool
    status: Status
    aliases: list[str]
    pricing: Annotated[Pricing | None, Meta(description="null when the price depends on what a router picks")]


class ModelList(Struct, frozen=True, kw_only=True):
    object: Literal["list"]
    data: list[Model]


class PublicModelList(Struct, frozen=True, kw_only=True):
    data: list[Model]


class ModelsByCategory(Struct, frozen=True, kw_only=True):
    llm: list[str]
    stt: list[str]
    tts: list[str]
    image: list[str]


class PlanAccess(Struct, frozen=True, kw_only=True):
    models: list[str]
    by_category: ModelsByCategory
    restriction: str


class PlansAccess(Struct, frozen=True, kw_only=True):
    """Which plan may call what. Embedding models stand in no list: every plan has them."""

    plans: dict[str, PlanAccess]
