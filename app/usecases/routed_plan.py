"""Before a call of another kind than chat costs anything: which routes may serve it, at what prices, in what limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.core.identity import Principal
from app.core.ledger import Limits
from app.core.limits import Rate
from app.core.pricing import TokenPrice, UnitPrice
from app.usecases.models import Models, refuse
from catalog.models import Category, Model
from catalog.routing import Refusal, Target, Terms, allowed_ids, select, targets


@dataclass(frozen=True, slots=True)
class RoutedPlan:
    """Which routes may serve, in order, at what prices (by model id), within what limits. `model` is what was asked."""

    model: Model
    targets: tuple[Target, ...]
    limits: Limits
    prices: Mapping[str, TokenPrice | UnitPrice]

    def unit_price(self, model: Model) -> UnitPrice:
        """The price of a model that is not sold by tokens."""
        price = self.prices[model.id]
        if not isinstance(price, UnitPrice):
            raise TypeError(f"{model.id} is sold by tokens")
        return price

    def token_price(self, model: Model) -> TokenPrice:
        price = self.prices[model.id]
        if not isinstance(price, TokenPrice):
            raise TypeError(f"{model.id} is not sold by tokens")
        return price


def plan_routed(
    models: Models,
    principal: Principal,
    category: Category,
    name: str,
    *,
    available: Callable[[str], bool],
    param: str = "model",
) -> RoutedPlan:
    """Checks 8 and 9 of spec.md section 3 for one named model, then its routes. Raises Problem; costs nothing.

    `available` says of a provider's name whether it is configured. A plan without routes is refused by `run_routed`.
    """
    catalog = models.catalog
    found = select(catalog, name, terms_of(models, principal, category))
    if isinstance(found, Refusal):
        problem = refuse(found)
        problem.param = param
        raise problem
    return plan_for(models, principal, (found.model,), available=available)


def terms_of(models: Models, principal: Principal, category: Category) -> Terms:
    """What the key may use of `category`."""
    catalog = models.catalog
    allowed = None if "*" in principal.allowed_models else allowed_ids(catalog, ",".join(principal.allowed_models))
    return Terms(catalog.plans[principal.plan], allowed, category=category)


def plan_for(
    models: Models, principal: Principal, chosen: Sequence[Model], *, available: Callable[[str], bool]
) -> RoutedPlan:
    """The plan for models that are chosen and checked, in order; all of one category."""
    category = chosen[0].category
    tariff = models.catalog.plans[principal.plan]
    routes = tuple(target for model in chosen for target in targets(model, available=available))
    prices: dict[str, TokenPrice | UnitPrice] = {
        model.id: models.token_price(model.price) if model.price.unit == "tokens" else models.unit_price(model.price)
        for model in chosen
    }
    limits = Limits(
        rate=Rate(principal.rpm or tariff.rpm),
        concurrency=tariff.in_flight,
        monthly_calls=tariff.cap(category),
        key_budget=principal.budget_ucr,
    )
    return RoutedPlan(chosen[0], routes, limits, prices)
