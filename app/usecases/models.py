"""The catalog in force: loaded from the database, reloaded when a seed changed it, plus what upstreams list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
import trio

from app.core.errors import Problem
from app.core.pricing import TokenPrice, UnitPrice
from app.observability.names import OTHER
from app.storage import catalog as stored
from app.storage.database import EVERY_TENANT, Database, Transaction
from catalog.catalog import Catalog
from catalog.documents import CatalogError, Fault
from catalog.models import Model, Route
from catalog.prices import Price, passthrough_price
from catalog.routing import Refusal

log = structlog.get_logger(__name__)
RELOAD_S: Final = 2.0


def seed(db: Transaction, catalog: Catalog) -> dict[str, stored.Changes]:
    """Make the stored catalog equal to `catalog`; returns what changed by kind."""
    changes = {
        "model": stored.store(db, "model", catalog.documents()),
        "plan": stored.store(db, "plan", catalog.plan_documents()),
        "rates": stored.store(db, "rates", {"rates": catalog.rates.document()}),
    }
    stored.set_digest(db, catalog.digest)
    return changes


def load(db: Transaction) -> Catalog:
    """The stored catalog. Raises CatalogError when it is empty or broken."""
    if stored.stored_digest(db) is None:
        raise CatalogError([Fault("database", "-", "catalog", "is empty; run `python -m app seed` first")])
    rates = stored.stored_documents(db, "rates").get("rates", {})
    models = stored.stored_documents(db, "model")
    return Catalog.from_documents(models.values(), rates, stored.stored_documents(db, "plan"))


class Models:
    """`catalog` is what is in force now; it is replaced, never changed, so a call keeps the one it began with."""

    def __init__(self, db: Database, catalog: Catalog, digest: str | None) -> None:
        self._db = db
        self._base = catalog
        self._digest = digest
        self._extra: dict[str, tuple[Model, ...]] = {}
        self.catalog = catalog
        self._passthrough: dict[str, Model] = {}

    @classmethod
    async def open(cls, db: Database) -> Models:
        """Raises CatalogError when the database holds no valid catalog."""
        catalog, digest = await db.read(EVERY_TENANT, lambda t: (load(t), stored.stored_digest(t)))
        return cls(db, catalog, digest)

    @property
    def digest(self) -> str | None:
        """Of the stored catalog that was loaded last, or refused."""
        return self._digest

    def label(self, model_id: str) -> str:
        """What metrics call a model: the id of a catalog entry, or `other`, since what servers list has no bound."""
        return model_id if model_id in self._base.models else OTHER

    def set_extra(self, source: str, models: Sequence[Model]) -> None:
        """Replace the models that `source` adds, such as those of a self-hosted server.

        Raises CatalogError when a name is taken; what was in force stays then.
        """
        before = self._extra.get(source, ())
        self._extra[source] = tuple(models)
        try:
            self._combine()
        except CatalogError:
            self._extra[source] = before
            raise

    def set_price_list(self, entries: Sequence[Any]) -> None:
        """OpenRouter's model list: slash ids that are not in the catalog can be called at these prices."""
        markup = self._base.rates.passthrough_markup
        models = (_passthrough_model(entry, markup) for entry in entries if isinstance(entry, Mapping))
        self._passthrough = {model.id: model for model in models if model is not None}

    def passthrough(self, model_id: str | None) -> Model | None:
        return None if model_id is None else self._passthrough.get(model_id)

    def token_price(self, price: Price, *, web: bool = False) -> TokenPrice:
        """`price` with the credit rate, and the flat price of one search when `web`."""
        catalog = self.catalog
        search = next((m.price.input_musd for m in catalog.models.values() if m.category == "search"), 0) if web else 0
        rate = catalog.rates.credits_per_usd
        return TokenPrice(price.input_musd, price.output_musd, rate, price.cached_input_musd, search)

    def unit_price(self, price: Price) -> UnitPrice:
        """`price` of something that is not counted in tokens, with the credit rate."""
        return UnitPrice(price.unit, price.input_musd, self.catalog.rates.credits_per_usd)

    async def run_reloader(self) -> None:
        """Look for a new digest every two seconds; a catalog that does not load keeps the old one in force."""
        while True:
            await trio.sleep(RELOAD_S)
            digest = self._digest
            try:
                digest = await self._db.read(EVERY_TENANT, stored.stored_digest)
                if digest == self._digest:
                    continue
                self._base = await self._db.read(EVERY_TENANT, load)
                self._combine()
                log.info("catalog.reloaded", models=len(self._base.models), digest=(digest or "")[:12])
            except CatalogError as error:
                log.error("catalog.reload_refused", error=str(error))
            except Problem as problem:
                log.warning("catalog.reload_failed", error=str(problem))
                continue
            self._digest = digest

    def _combine(self) -> None:
        """An entry of the catalog wins over one that a server lists, so that an operator can price `local/<id>`."""
        extra = [model for models in self._extra.values() for model in models if model.id not in self._base.models]
        self.catalog = self._base.with_models(extra) if extra else self._base


REFUSALS: Final[dict[str, str]] = {
    "model_not_found": "The model `{model}` does not exist, or not for this endpoint. See `GET /v1/models`.",
    "model_not_allowed": "This key may not use the model `{model}`. Change its allowed models, or use another key.",
    "model_not_available": "The model `{model}` is not in your plan. See `GET /api/v1/models/access`.",
    "model_under_maintenance": "The model `{model}` is under maintenance.{instead}",
    "unsupported_image_input": "The model `{model}` takes no images. Use one with `supports_vision`, or send text.",
    "voice_agent_only_model": "The model `{model}` works in voice sessions only.",
}


def refuse(refusal: Refusal) -> Problem:
    """The client's error for a model that may not serve."""
    instead = f" Use `{refusal.fallback}` meanwhile." if refusal.fallback else " Try again later."
    message = REFUSALS[refusal.code].format(model=refusal.model[:100], instead=instead)
    param = "messages" if refusal.code == "unsupported_image_input" else "model"
    return Problem(refusal.code, message, param)


def _passthrough_model(entry: Mapping[str, Any], markup: Any) -> Model | None:
    model_id, pricing = entry.get("id"), entry.get("pricing")
    if not isinstance(model_id, str) or not isinstance(pricing, Mapping):
        return None
    price = passthrough_price(str(pricing.get("prompt", "")), str(pricing.get("completion", "")), markup)
    if price is None:
        return None
    architecture = entry.get("architecture")
    inputs = architecture.get("input_modalities") if isinstance(architecture, Mapping) else None
    context = entry.get("context_length")
    return Model(
        id=model_id.casefold(),
        owner=model_id.partition("/")[0],
        name=str(entry.get("name") or model_id),
        description="Passed through at the upstream's list price.",
        category="llm",
        price=price,
        context_window=context if isinstance(context, int) and context > 0 else None,
        supports_vision=isinstance(inputs, list) and "image" in inputs,
        supports_tools=True,
        supports_reasoning=True,
        supports_streaming=True,
        routes=(Route("openrouter", model_id),),
    )
