"""What the public status page says (spec.md section 16): the gateway's own parts, and every model it lists. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from catalog.models import Model

State = Literal["operational", "degraded", "down", "maintenance"]
#: Whether a route, given by (provider, upstream model), may be asked now; None when its provider is not configured.
IsUp = Callable[[str, str], bool | None]


class Component(msgspec.Struct, frozen=True):
    name: Literal["api", "database"]
    status: State


class ModelStatus(msgspec.Struct, frozen=True):
    id: str
    category: str
    status: State


class StatusPage(msgspec.Struct, frozen=True):
    """`status` is the worst of the components, `degraded` also when a model is not operational."""

    status: State
    components: list[Component]
    models: list[ModelStatus]
    checked_at: str


def model_state(model: Model, is_up: IsUp) -> State:
    """By its routes: one of them that answers is enough to be called, all of them make it operational."""
    if model.status == "maintenance":
        return "maintenance"
    routes = [up for route in model.routes if (up := is_up(route.provider, route.upstream)) is not None]
    if not any(routes):
        return "down"
    return "operational" if all(routes) else "degraded"


def status_page(models: Iterable[Model], is_up: IsUp, *, ready: bool, database: bool, checked_at: str) -> StatusPage:
    """The page as of now; what is in maintenance was announced and degrades nothing.

    Models without a route, such as those for voice sessions only, are not asked by a text call and left out.
    """
    states = [ModelStatus(model.id, model.category, model_state(model, is_up)) for model in models if model.routes]
    components = [
        Component("api", "operational" if ready else "degraded"),
        Component("database", "operational" if database else "down"),
    ]
    worst: State = "operational"
    if not ready or any(each.status in ("degraded", "down") for each in states):
        worst = "degraded"
    return StatusPage("down" if not database else worst, components, states, checked_at)
