"""One embeddings call: counted before it costs anything, billed by the provider's count of tokens (spec.md 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

import msgspec
import trio

from app.core import tokens
from app.core.billing import Bill
from app.core.deltas import Usage
from app.core.embeddings import EmbeddingRequest
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.pricing import TokenPrice
from app.observability.facts import CallFacts
from app.providers.chat import ChatProvider
from app.providers.embeddings import Embedded, EmbeddingAsk, embed
from app.usecases.plan import CONTEXT_SLACK
from app.usecases.routed import Done, Order, Progress, RoutedServices, WhatElse, run_routed
from app.usecases.routed_plan import plan_routed
from catalog.models import Model
from catalog.routing import Target


@dataclass(frozen=True, slots=True)
class EmbeddingAnswer:
    """Vectors in the client's encoding, and what they cost."""

    vectors: tuple[msgspec.Raw, ...]
    prompt_tokens: int
    bill: Bill


async def run_embeddings(
    routed: RoutedServices,
    providers: Mapping[str, ChatProvider],
    principal: Principal,
    request: EmbeddingRequest,
    facts: CallFacts,
    reply: WhatElse[EmbeddingAnswer],
) -> Done[EmbeddingAnswer]:
    """Embed the texts and charge for them; what `reply` gives is written with the charge.

    Raises Problem, nothing having been charged then; StaleKey.
    """
    plan = plan_routed(routed.models, principal, "embedding", request.model, available=providers.__contains__)
    price = plan.token_price(plan.model)
    _check_dimensions(plan.model, request.dimensions)
    counts = await _count(request.texts)
    _check_window(plan.model, counts)
    estimate = sum(counts)
    order = Order(price.tokens_ucr(estimate, 0), facts, request.texts, request.ignored)
    left = Bill("cancelled", price.tokens_ucr(estimate, 0), "tokenizer_estimate", "B4")

    async def attempt(target: Target, progress: Progress) -> EmbeddingAnswer:
        ask = EmbeddingAsk(target.upstream, request.texts, request.encoding, request.dimensions, target.options)
        progress.receipt["prompt_estimate"] = estimate
        found = await embed(
            providers[target.provider], ask, accepted=lambda: progress.owes(left), waited=progress.waited
        )
        usage = Usage(estimate if found.prompt_tokens is None else found.prompt_tokens)
        progress.measured(usage)
        return EmbeddingAnswer(found.vectors, usage.prompt, _bill(found, usage, price))

    return await run_routed(routed, principal, plan, order, attempt, attrgetter("bill"), reply)


def _bill(found: Embedded, usage: Usage, price: TokenPrice) -> Bill:
    """By the provider's count, an explicit 0 included (B5, B8), else by ours (B9)."""
    cost = price.cost_ucr(usage)
    if found.prompt_tokens is None:
        return Bill("completed", cost, "tokenizer_estimate", "B9")
    return Bill("completed", cost, "provider_usage", "B5" if usage.prompt else "B8")


async def _count(texts: tuple[str, ...]) -> list[int]:
    """Tokens of each text; a large request is counted beside the loop."""
    if sum(map(len, texts)) <= tokens.LARGE_BYTES:
        return [tokens.count_text(text) for text in texts]
    return await trio.to_thread.run_sync(lambda: [tokens.count_text(text) for text in texts])


def _check_dimensions(model: Model, dimensions: int | None) -> None:
    native = model.details.get("dimensions")
    if dimensions is None or dimensions == native:
        return
    if not model.details.get("shortenable"):
        raise Problem(
            "unsupported_parameter", f"`{model.id}` has {native} dimensions and no others. Leave it out.", "dimensions"
        )
    if isinstance(native, int) and dimensions > native:
        raise Problem("invalid_value", f"dimensions must be 1 to {native} for `{model.id}`.", "dimensions")


def _check_window(model: Model, counts: list[int]) -> None:
    """Our tokenizer is not the model's: a text is refused here only when it is clearly over the window."""
    for place, count in enumerate(counts):
        if model.context_window is not None and count > model.context_window * CONTEXT_SLACK:
            raise Problem(
                "context_length_exceeded",
                f"input[{place}] is about {count} tokens and `{model.id}` takes {model.context_window}. Split it.",
                "input",
            )
