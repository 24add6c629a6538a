"""One web search: the providers that may answer in order, a flat price, nothing for a failure (spec.md section 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from app.core.billing import Bill
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.search import Found, Search, choose
from app.observability.facts import CallFacts
from app.providers.search.backend import AWAY
from app.providers.search.provider import SearchProvider
from app.usecases.routed import Done, Order, Progress, RoutedServices, WhatElse, run_routed
from app.usecases.routed_plan import RoutedPlan, plan_for
from catalog.models import Model
from catalog.routing import Target

#: In all: no further provider is asked after it.
TRY_FOR_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class SearchServices:
    """What search works with; `default` answers a search that names neither provider nor mode."""

    routed: RoutedServices
    providers: Mapping[str, SearchProvider]
    default: str


Answer = tuple[Found, Bill]


async def run_search(
    services: SearchServices, principal: Principal, search: Search, facts: CallFacts, reply: WhatElse[Answer]
) -> Done[Answer]:
    """Answer `search` and charge it; what `reply` gives is written with the charge.

    Raises Problem, nothing having been charged then; StaleKey.
    """
    plan = plan_search(services, principal, search)
    hold = max(plan.unit_price(target.model).cost_ucr(1) for target in plan.targets)
    order = Order(hold, facts, (search.query, *search.include, *search.exclude), search.ignored, TRY_FOR_S)

    async def attempt(target: Target, progress: Progress) -> Answer:
        price = plan.unit_price(target.model).cost_ucr(1)
        found = await services.providers[target.provider].search(
            search,
            accepted=lambda: progress.owes(Bill("cancelled", price, "usage_snapshot", "B4")),
            waited=progress.waited,
        )
        progress.measured(searches=1)
        return found, Bill("completed", price, "provider_usage", "B17")

    return await run_routed(services.routed, principal, plan, order, attempt, itemgetter(1), reply)


def plan_search(services: SearchServices, principal: Principal, search: Search) -> RoutedPlan:
    """Who may answer, in order. Raises Problem 403 before anything is held, 503 when nobody is configured."""
    models = services.routed.models
    entries = _entries(models.catalog.models)
    names = choose(
        search,
        configured=services.providers.keys() & entries.keys(),
        allowed=principal.allowed_search_providers,
        default=services.default,
    )
    if not names:
        raise Problem("provider_error", AWAY, "provider" if search.provider else None)
    return plan_for(models, principal, [entries[name] for name in names], available=names.__contains__)


def _entries(models: Mapping[str, Model]) -> dict[str, Model]:
    """The price rows of search by provider."""
    rows = (model for model in models.values() if model.category == "search" and model.status == "active")
    return {model.routes[0].provider: model for model in rows}
