"""Which model and which provider may serve a request: pure decisions, spec.md sections 3 (checks 8 and 9), 5.2 and 5.4.

Nothing here raises for what a client did: a `Refusal` is a value, and the use-case turns it into its HTTP error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from catalog.catalog import Catalog, Resolved
from catalog.models import Category, Model
from catalog.names import passthrough_id
from catalog.plans import Plan

#: The longest `models` list; the surface refuses a longer one.
MAX_FALLBACKS: Final = 32

RefusalCode = Literal[
    "model_not_found",
    "model_not_allowed",
    "model_not_available",
    "model_under_maintenance",
    "unsupported_image_input",
    "voice_agent_only_model",
]
#: Refusals of the default model that its fallback answers: the caller did not name it.
CLOSED: Final = frozenset({"model_not_found", "model_not_allowed", "model_not_available", "model_under_maintenance"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What the caller may use and the request needs. `allowed_models` None means any; see `allowed_ids`."""

    plan: Plan
    allowed_models: frozenset[str] | None = None
    needs_vision: bool = False
    category: Category = "llm"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model may not serve: an error code, the model as named, and what could serve instead."""

    code: RefusalCode
    model: str
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream call that can be tried."""

    provider: str
    upstream: str
    model: Model
    options: Mapping[str, object] = field(default_factory=dict, hash=False)


def refusal(model: Model, terms: Terms) -> Refusal | None:
    """The first check that fails: known, allowed for the key, in the plan, not in maintenance, vision, voice-only."""
    faults: tuple[tuple[RefusalCode, bool], ...] = (
        ("model_not_found", model.status == "disabled" or model.category != terms.category),
        ("model_not_allowed", terms.allowed_models is not None and model.id not in terms.allowed_models),
        ("model_not_available", not terms.plan.allows(model)),
        ("model_under_maintenance", model.status == "maintenance"),
        ("unsupported_image_input", terms.needs_vision and not model.supports_vision),
        ("voice_agent_only_model", model.status == "voice_only"),
    )
    for code, fails in faults:
        if fails:
            return Refusal(code, model.id, model.fallback)
    return None


def select(catalog: Catalog, name: str | None, terms: Terms) -> Resolved | Refusal:
    """The model that a request means. `name` None means the default, or its fallback when that one is closed.

    A named model is never replaced (spec.md section 5.2). For an unknown name see `names.passthrough_id`.
    """
    if name is not None:
        resolved = catalog.resolve(name)
        if resolved is None:
            return Refusal("model_not_found", name)
        return refusal(resolved.model, terms) or resolved
    model = catalog.default_model
    refused = refusal(model, terms)
    if refused and refused.code in CLOSED and model.fallback:
        model = catalog.models[model.fallback]
        refused = refusal(model, terms)
    return refused or Resolved(model)


def candidates(catalog: Catalog, requested: Model, fallbacks: Sequence[str], terms: Terms) -> tuple[Model, ...]:
    """The models to try in order: `requested`, unchecked, then those of the `models` list that pass every check.

    Names that find nothing are skipped, duplicates collapse, at most `MAX_FALLBACKS` names are looked at.
    """
    chosen = {requested.id: requested}
    for name in fallbacks[:MAX_FALLBACKS]:
        found = select(catalog, name, terms)
        if isinstance(found, Resolved):
            chosen.setdefault(found.model.id, found.model)
    return tuple(chosen.values())


def targets(model: Model, *, available: Callable[[str], bool]) -> tuple[Target, ...]:
    """The model's routes in catalog order, without the providers that are not `available` (by provider name)."""
    return tuple(
        Target(route.provider, route.upstream, model, route.options)
        for route in model.routes
        if available(route.provider)
    )


def allowed_ids(catalog: Catalog, names: str) -> frozenset[str] | None:
    """A key's comma-separated `allowed_models` as catalog ids; `*` means any (None).

    An alias stands for its entry; a slash id outside the catalog is kept for passthrough.
    """
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if "*" in listed:
        return None
    resolved = ((catalog.resolve(name), passthrough_id(name)) for name in listed)
    return frozenset(model_id for found, outside in resolved if (model_id := found.model.id if found else outside))
