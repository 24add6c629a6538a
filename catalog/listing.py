"""What the catalog looks like from outside: the model entry and the plans' access lists of spec.md section 6."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from catalog.catalog import Catalog
from catalog.models import Model
from catalog.plans import CAPPED, Plan

ALL_MODELS: Final = "All models."
FREE_MODELS: Final = (
    "Only the models listed here, and every embedding model; others answer 403 model_not_available. "
    "Upgrade the plan to call them."
)


def model_entry(model: Model) -> dict[str, object]:
    """One element of `GET /v1/models`; `pricing` is null when the price depends on the pick."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
        "name": model.name,
        "description": model.description,
        "category": model.category,
        "context_window": model.context_window,
        "context_length": model.context_window,
        "free": model.free,
        "supports_streaming": model.supports_streaming,
        "supports_tools": model.supports_tools,
        "supports_reasoning": model.supports_reasoning,
        "supports_vision": model.supports_vision,
        "status": model.status,
        "aliases": list(model.aliases),
        "pricing": model.price.entry(),
    }


def messages_model_entry(model: Model) -> dict[str, object]:
    """The same for Anthropic's clients (spec.md section 9.3, compat.md M13)."""
    created = datetime.datetime.fromtimestamp(model.created, datetime.UTC)
    shared = (
        *("id", "description", "category", "context_window", "context_length", "pricing", "aliases"),
        *("supports_streaming", "supports_tools", "supports_reasoning", "supports_vision"),
    )
    entry = model_entry(model)
    return {
        "type": "model",
        "display_name": model.name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context_window,
        **{name: entry[name] for name in shared},
    }


def messages_model_list(models: Sequence[Model]) -> dict[str, object]:
    """All models on one page."""
    first, last = (models[0].id, models[-1].id) if models else (None, None)
    return {
        "data": [messages_model_entry(model) for model in models],
        "has_more": False,
        "first_id": first,
        "last_id": last,
    }


def plans_access(catalog: Catalog) -> dict[str, object]:
    """The body of `GET /api/v1/models/access`. Embeddings stand in no list: every plan has them."""
    return {"plans": {plan.id: _access(plan, catalog) for plan in catalog.plans.values()}}


def _access(plan: Plan, catalog: Catalog) -> dict[str, object]:
    open_models = [model for model in catalog.listed if model.category in CAPPED and plan.allows(model)]
    return {
        "models": [model.id for model in open_models],
        "by_category": {name: [model.id for model in open_models if model.category == name] for name in CAPPED},
        "restriction": ALL_MODELS if plan.models is None else FREE_MODELS,
    }
