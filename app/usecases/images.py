"""Images: one hold for all that were asked for, one upstream call each, charged for what is delivered (spec.md 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import trio

from app.core.billing import Bill
from app.core.errors import UpstreamError
from app.core.identity import Principal
from app.core.image_history import ImageDetails
from app.core.images import ImageRequest, Picture
from app.core.ledger import Outcome
from app.core.pricing import UnitPrice
from app.observability.facts import CallFacts
from app.providers.chat import ChatProvider
from app.providers.images import PROVIDERS, ImageAsk, draw
from app.storage.images import StoredImage
from app.usecases.image_history import ImageHistory
from app.usecases.routed import Done, Order, Progress, RoutedServices, WhatElse, run_routed
from app.usecases.routed_plan import plan_routed
from app.usecases.settling import Beside, both
from app.usecases.sink import Served
from catalog.routing import Target

#: The largest seed that the next image's may be.
LARGEST_SEED: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class ImageServices:
    """What images work with."""

    routed: RoutedServices
    providers: Mapping[str, ChatProvider]
    history: ImageHistory


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images that came, in order, what they cost, and those of them whose files are kept."""

    pictures: Sequence[Picture]
    bill: Bill
    kept: Sequence[StoredImage]


async def run_images(
    services: ImageServices, principal: Principal, request: ImageRequest, facts: CallFacts, reply: WhatElse[Drawn]
) -> Done[Drawn]:
    """Draw what is asked for and charge what was drawn: at least one image, perhaps not all.

    What `reply` gives is written with the charge. Raises Problem, nothing having been charged then; StaleKey.
    """
    routed, history = services.routed, services.history
    drawing = services.providers.keys() & PROVIDERS
    plan = plan_routed(routed.models, principal, "image", request.model, available=drawing.__contains__)
    price = plan.unit_price(plan.model)
    words = (request.prompt, request.negative_prompt or "")
    order = Order(price.cost_ucr(request.n), facts, words, request.ignored)

    async def attempt(target: Target, progress: Progress) -> Drawn:
        batch = _Batch(services.providers[target.provider], target, request, price, progress)
        drawn = await batch.draw()
        kept = await history.keep(principal, progress.served.id, target.model.id, drawn)
        return Drawn([picture for picture, _ in drawn], _bill("completed", price, len(drawn)), kept)

    def beside(drawn: Drawn, served: Served) -> Beside | None:
        return both(history.beside(principal.tenant_id, drawn.kept), reply(drawn, served))

    return await run_routed(routed, principal, plan, order, attempt, attrgetter("bill"), beside)


def _bill(outcome: Outcome, price: UnitPrice, images: int) -> Bill:
    """A client that left pays for the images that were there by then (B4), else for those it is given (B17)."""
    if outcome == "cancelled":
        return Bill(outcome, price.cost_ucr(images), "usage_snapshot" if images else "none", "B4")
    return Bill(outcome, price.cost_ucr(images), "provider_usage", "B17")


@dataclass(slots=True)
class _Batch:
    """The images of one attempt, drawn at the same time."""

    provider: ChatProvider
    target: Target
    request: ImageRequest
    price: UnitPrice
    progress: Progress

    async def draw(self) -> list[tuple[Picture, ImageDetails]]:
        """Those that came, in order, each with what was asked for. Raises the first failure when none did."""
        asks = [self._ask(place) for place in range(self.request.n)]
        self.progress.served.dropped = asks[0].dropped
        drawn: dict[int, Picture] = {}
        failures: list[UpstreamError] = []
        waits: list[float] = []

        async def draw_one(place: int) -> None:
            try:
                drawn[place] = await draw(
                    self.provider, asks[place], accepted=lambda: self._owe(len(drawn)), waited=waits.append
                )
            except UpstreamError as error:
                failures.append(error)
            else:
                self._owe(len(drawn))

        try:
            async with trio.open_nursery() as nursery:
                for place in range(self.request.n):
                    nursery.start_soon(draw_one, place)
        finally:
            self.progress.waited(max(waits, default=0.0))
        if not drawn:
            raise failures[0]
        self.progress.measured(images=len(drawn))
        return [(drawn[place], _details(asks[place], drawn[place])) for place in sorted(drawn)]

    def _owe(self, images: int) -> None:
        self.progress.owes(_bill("cancelled", self.price, images))

    def _ask(self, place: int) -> ImageAsk:
        seed = self.request.seed
        own = None if seed is None else (seed + place) % (LARGEST_SEED + 1)
        return ImageAsk(self.target.upstream, self.request, own, self.target.options)


def _details(ask: ImageAsk, picture: Picture) -> ImageDetails:
    width, height = ask.size
    return ImageDetails(
        size=f"{width}x{height}",
        prompt=ask.request.prompt,
        negative_prompt=ask.negative_prompt,
        revised_prompt=picture.revised_prompt,
        seed=ask.seed,
        steps=ask.steps,
    )
