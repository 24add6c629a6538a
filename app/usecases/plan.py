"""Before a chat call costs anything: which models and routes may serve it, and what it needs as a hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from app.core.chat import ChatRequest, check_effort
from app.core.errors import Problem, UpstreamError
from app.core.identity import Principal
from app.core.ledger import Limits
from app.core.limits import Rate
from app.core.normalise import Normaliser
from app.core.pricing import MILLION, TokenPrice
from app.observability.facts import CallFacts
from app.providers.chat import ChatProvider
from app.providers.dialect import ChatAsk, Outgoing
from app.usecases.meter import Ask
from app.usecases.models import Models, refuse
from catalog.models import Model
from catalog.names import passthrough_id, split_sort
from catalog.reasoning import clamp
from catalog.routing import Refusal, Target, Terms, allowed_ids, candidates, refusal, select, targets

#: Output that the first hold covers, and each step it grows by (spec.md section 3).
STEP_TOKENS: Final = 512
#: Our tokenizer is not the model's: a prompt is refused here only when it is this much over the window.
CONTEXT_SLACK: Final = 1.25

#: What is asked of one route, and the bytes that ask it.
Question = tuple[ChatAsk, Outgoing]


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """What one request may try, in order, and what it may cost."""

    model: Model
    targets: tuple[Target, ...]
    sort: Any
    prices: Mapping[str, TokenPrice]
    prompt_tokens: int
    limits: Limits
    #: False for a slash id that is passed through at the upstream's list price.
    catalogued: bool
    #: Hides the tenant's own names from upstreams.
    salt: str
    #: The question to the first route, made before anything is held so that its refusal costs nothing.
    first: Question | None = None

    @property
    def several_models(self) -> bool:
        return any(target.model.id != self.model.id for target in self.targets)

    def hold_ucr(self, completion_tokens: int) -> int:
        """Enough for the prompt and that much output at the dearest candidate's price."""
        return max(price.tokens_ucr(self.prompt_tokens, completion_tokens) for price in self.prices.values())

    def ask(self, request: ChatRequest, facts: CallFacts) -> Ask:
        """What the call asks of the meter: a hold for the prompt and a first step of output."""
        step = min(request.max_tokens or STEP_TOKENS, STEP_TOKENS) * request.n
        return Ask(
            endpoint=facts.endpoint,
            category="llm",
            model=self.model.id,
            streamed=request.stream,
            hold_ucr=self.hold_ucr(step),
            request_id=facts.request_id,
            limits=self.limits,
            id_prefix=facts.id_prefix,
            marks=facts.marks,
        )


def plan_chat(
    models: Models,
    providers: Mapping[str, ChatProvider],
    principal: Principal,
    request: ChatRequest,
    prompt_tokens: int,
    salt: str,
) -> ChatPlan:
    """Checks 8 and 9 of spec.md section 3, then routes, prices and limits. Raises Problem; costs nothing."""
    catalog = models.catalog
    tariff = catalog.plans[principal.plan]
    allowed = None if "*" in principal.allowed_models else allowed_ids(catalog, ",".join(principal.allowed_models))
    terms = Terms(tariff, allowed, request.has_images)
    model, sort = _find(models, request, terms)
    check_effort(request, slash=model.frontier)
    if model.context_window is not None and prompt_tokens > model.context_window * CONTEXT_SLACK:
        raise Problem(
            "context_length_exceeded",
            f"The prompt is about {prompt_tokens} tokens and `{model.id}` takes {model.context_window}. Shorten it.",
            "messages",
        )
    chosen = candidates(catalog, model, request.fallbacks, terms)
    routes = tuple(target for one in chosen for target in targets(one, available=providers.__contains__))
    web = request.searches_web
    prices = {one.id: models.token_price(catalog.hold_price(one), web=web and one.frontier) for one in chosen}
    limits = Limits(
        rate=Rate(principal.rpm or tariff.rpm),
        concurrency=tariff.in_flight,
        monthly_calls=tariff.cap("llm"),
        key_budget=principal.budget_ucr,
    )
    plan = ChatPlan(model, routes, sort, prices, prompt_tokens, limits, model.id in catalog.models, salt)
    if not routes:
        return plan
    ask = ask_for(plan, request, routes[0])
    return replace(plan, first=(ask, providers[routes[0].provider].dialect.chat(ask)))


def question_for(
    plan: ChatPlan, request: ChatRequest, target: Target, provider: ChatProvider, *, patient: bool
) -> Question:
    """The question of a later attempt. Raises UpstreamError for a route that cannot do what is asked: skip it."""
    ask = ask_for(plan, request, target, patient=patient)
    try:
        return ask, provider.dialect.chat(ask)
    except Problem as problem:
        raise UpstreamError(problem.code, problem.message, retry="other", param=problem.param) from None


def ask_for(plan: ChatPlan, request: ChatRequest, target: Target, *, patient: bool = False) -> ChatAsk:
    """The question as it goes to one route."""
    effort = request.effort
    return ChatAsk(
        upstream_model=target.upstream,
        raw=request.raw,
        tenant_salt=plan.salt,
        effort=None if effort is None else clamp(target.model.reasoning, effort),
        max_tokens=request.max_tokens,
        sort=plan.sort,
        client_streams=request.stream,
        other_routes=len(plan.targets) > 1,
        patient=patient,
        client_limits=request.provider is not None,
        catalogued=plan.catalogued,
        options=target.options,
    )


def price_in_force(
    models: Models, request: ChatRequest, target: Target, normaliser: Normaliser, price: TokenPrice
) -> TokenPrice:
    """`price`, or for a by-pick model its pick's price, or what the pick cost us when it is not in the catalog."""
    if target.model.price.unit != "by_pick":
        return price
    picked = models.catalog.resolve(normaliser.upstream_model or "")
    if picked is not None and picked.model.price.unit == "tokens":
        return models.token_price(picked.model.price, web=request.searches_web)
    if normaliser.cost is not None:
        return TokenPrice(0, 0, price.credits_per_usd, flat_musd=-int(-normaliser.cost * MILLION // 1))
    return price


def unconfigured() -> UpstreamError:
    return UpstreamError(
        "provider_error",
        "No provider for this model is configured on this gateway. Its operator can run `python -m app doctor`.",
        detail="no provider configured",
    )


def _find(models: Models, request: ChatRequest, terms: Terms) -> tuple[Model, Any]:
    name = request.model
    found = select(models.catalog, name, terms)
    if not isinstance(found, Refusal):
        return found.model, found.sort
    if name is not None and found.code == "model_not_found" and (outside := models.passthrough(passthrough_id(name))):
        refused = refusal(outside, terms)
        if refused is None:
            return outside, split_sort(name)[1]
        raise refuse(refused)
    raise refuse(found)
