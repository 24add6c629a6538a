"""The whole catalog: loaded once, checked once, then only read. What it holds can be called and has a price."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from catalog import checks
from catalog.documents import CatalogError, Document, Fault
from catalog.models import Model, Status, read_model
from catalog.names import Sort, name_index, split_sort, vendor_name
from catalog.plans import Plan, Rates, read_plan, read_rates
from catalog.prices import Price

PACKAGE = Path(__file__).parent


class Resolved(NamedTuple):
    """The entry a name stands for, and the `provider.sort` its suffix asked for."""

    model: Model
    sort: Sort | None = None


class Sources(NamedTuple):
    """What the three documents are called in error messages."""

    models: str = "models"
    rates: str = "rates"
    plans: str = "plans"


FILES = Sources("models.toml", "rates.toml", "plans.toml")


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """Models by id in file order, plans by id, rates. `digest` is equal exactly when the content is."""

    models: Mapping[str, Model]
    plans: Mapping[str, Plan]
    rates: Rates
    digest: str
    _names: Mapping[str, Model]

    @classmethod
    def load(cls, directory: Path = PACKAGE) -> Catalog:
        """From models.toml, rates.toml and plans.toml. Raises CatalogError with every fault found."""
        faults: list[Fault] = []
        models, rates, plans = (_read_toml(directory / name, faults) for name in FILES)
        document = Document(FILES.models, "-", models, faults)
        entries = [table.rest() for table in document.tables("model")]
        document.close()
        if faults:
            raise CatalogError(faults)
        return _build(entries, rates, plans, FILES)

    @classmethod
    def from_documents(
        cls, models: Iterable[Mapping[str, object]], rates: Mapping[str, object], plans: Mapping[str, object]
    ) -> Catalog:
        """From plain tables, such as database rows; `plans` by plan id. Raises CatalogError with every fault found."""
        return _build(models, rates, plans, Sources())

    @property
    def default_model(self) -> Model:
        """What serves a request that names no model."""
        return self.models[self.rates.default_model]

    @property
    def listed(self) -> tuple[Model, ...]:
        """What `GET /v1/models` shows: neither disabled entries nor search prices."""
        return tuple(m for m in self.models.values() if m.status != "disabled" and m.category != "search")

    def resolve(self, name: str) -> Resolved | None:
        """The entry a client means: id, alias, unique tail of a slash id, `claude-*` (spec.md section 5.4)."""
        key, sort = split_sort(name)
        model = self._names.get(key)
        if model is None and (longer := vendor_name(key)):
            model = self._names.get(longer)
        return None if model is None else Resolved(model, sort)

    def hold_price(self, model: Model) -> Price:
        """What a hold is computed with: the model's price, or the by-pick rate while the pick is unknown."""
        return self.rates.by_pick_hold if model.price.unit == "by_pick" else model.price

    def documents(self) -> dict[str, dict[str, object]]:
        """Canonical, JSON-able entries by id; `from_documents` reads them back to the same digest."""
        return {model.id: model.document() for model in self.models.values()}

    def plan_documents(self) -> dict[str, dict[str, object]]:
        """Canonical plans by id, as `from_documents` takes them."""
        return {plan.id: plan.document() for plan in self.plans.values()}

    def with_models(self, extra: Iterable[Model]) -> Catalog:
        """This catalog and more: `local/<id>` or passthrough entries. Raises CatalogError when a name is taken."""
        models = [*self.models.values(), *extra]
        ids = [model.id for model in models]
        source = "extra models"
        faults = [*checks.id_faults(source, ids), *checks.alias_faults(source, models)]
        faults.extend(checks.fallback_faults(source, models, ids))
        if faults:
            raise CatalogError(faults)
        return _assemble(models, self.rates, self.plans.values())

    def with_status(self, statuses: Mapping[str, Status]) -> Catalog:
        """This catalog with entries taken out of service or put back, by id; ids it does not have are ignored.

        For what is learnt while running, such as an upstream that lost a model (catalog.md section 1): nothing is
        checked again, since a fallback or default that went away must not take the rest along.
        """
        models = [replace(model, status=statuses.get(model.id, model.status)) for model in self.models.values()]
        return _assemble(models, self.rates, self.plans.values())


def _build(
    entries: Iterable[object], rates_table: object, plan_tables: Mapping[str, object], source: Sources
) -> Catalog:
    faults: list[Fault] = []
    declared: list[str] = []
    models: list[Model] = []
    for number, values in enumerate(entries, 1):
        model_id = values.get("id") if isinstance(values, Mapping) else None
        if isinstance(model_id, str) and model_id:
            declared.append(model_id)
        model = read_model(source.models, str(model_id or f"entry {number}"), values, faults)
        if model is not None:
            models.append(model)
    rates = read_rates(source.rates, rates_table, faults)
    plans = [read_plan(source.plans, plan_id, values, faults) for plan_id, values in plan_tables.items()]
    if not plans:
        faults.append(Fault(source.plans, "-", "-", "holds no plan; write at least [free]"))
    faults.extend(checks.id_faults(source.models, declared))
    faults.extend(checks.alias_faults(source.models, models))
    faults.extend(checks.fallback_faults(source.models, models, declared))
    for plan in filter(None, plans):
        faults.extend(checks.free_faults(source.plans, plan, models, declared))
    if rates is not None:
        faults.extend(checks.default_faults(source.rates, rates, models, declared))
    if faults or rates is None:
        raise CatalogError(faults)
    return _assemble(models, rates, filter(None, plans))


def _assemble(models: Iterable[Model], rates: Rates, plans: Iterable[Plan]) -> Catalog:
    by_id = {model.id: model for model in models}
    plan_by_id = {plan.id: plan for plan in plans}
    content = {
        "models": {model.id: model.document() for model in by_id.values()},
        "plans": {plan.id: plan.document() for plan in plan_by_id.values()},
        "rates": rates.document(),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return Catalog(by_id, plan_by_id, rates, digest, name_index(by_id.values()))


def _read_toml(path: Path, faults: list[Fault]) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        faults.append(Fault(path.name, "-", "-", "is missing; put it next to the other catalog files"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(Fault(path.name, "-", "-", f"is not valid TOML; correct it: {error}"))
    return {}
