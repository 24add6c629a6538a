"""Faults that only show between entries: names, fallbacks, defaults, the free list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from catalog.documents import Fault
from catalog.models import Category, Model
from catalog.plans import CAPPED, Plan, Rates


def id_faults(source: str, ids: Iterable[str]) -> Iterator[Fault]:
    """Ids that occur twice, in whatever case."""
    seen: set[str] = set()
    for model_id in ids:
        if model_id.casefold() in seen:
            yield Fault(source, model_id, "id", "is there twice; remove one entry or write another id")
        seen.add(model_id.casefold())


def alias_faults(source: str, models: Sequence[Model]) -> Iterator[Fault]:
    """Aliases that are an id or another alias already."""
    ids = {model.id.casefold(): model.id for model in models}
    taken: dict[str, str] = {}
    for model in models:
        for alias in model.aliases:
            key = alias.casefold()
            if key in ids:
                message = f"{alias!r} is the id of {ids[key]}; write another alias or remove it"
                yield Fault(source, model.id, "aliases", message)
            elif key in taken:
                message = f"{alias!r} is an alias of {taken[key]} already; keep it in one entry"
                yield Fault(source, model.id, "aliases", message)
            else:
                taken[key] = model.id


def fallback_faults(source: str, models: Sequence[Model], declared: Collection[str]) -> Iterator[Fault]:
    """Fallbacks that are missing, the entry itself, disabled or of another category.

    `declared` are all ids in the documents, those of faulty entries too, so that one fault is not told twice.
    """
    by_id = {model.id: model for model in models}
    for model in models:
        target = by_id.get(model.fallback or "")
        if model.fallback is None:
            continue
        if model.fallback == model.id:
            yield Fault(source, model.id, "fallback", "is the entry itself; write the id of another entry or remove it")
        elif model.fallback not in declared:
            message = f"{model.fallback!r} is not in the catalog; write the exact id of an entry"
            yield Fault(source, model.id, "fallback", message)
        elif target is not None and (target.category != model.category or target.status == "disabled"):
            message = f"{target.id} is {target.category} and {target.status}; write an enabled {model.category} entry"
            yield Fault(source, model.id, "fallback", message)


def default_faults(source: str, rates: Rates, models: Sequence[Model], declared: Collection[str]) -> Iterator[Fault]:
    """Default models that are missing, disabled, voice-only or of the wrong category."""
    by_id = {model.id: model for model in models}
    wanted: tuple[tuple[str, str, Category], ...] = (
        ("default_model", rates.default_model, "llm"),
        ("default_stt_model", rates.default_stt_model, "stt"),
        ("default_tts_model", rates.default_tts_model, "tts"),
    )
    for key, model_id, category in wanted:
        model = by_id.get(model_id)
        if model_id not in declared:
            yield Fault(source, "rates", key, f"{model_id!r} is not in the catalog; write the exact id of an entry")
        elif model is not None and (model.category != category or model.status in ("disabled", "voice_only")):
            message = f"{model_id} is {model.category} and {model.status}; write an enabled {category} entry"
            yield Fault(source, "rates", key, message)


def free_faults(source: str, plan: Plan, models: Sequence[Model], declared: Collection[str]) -> Iterator[Fault]:
    """Where a plan's list and the entries' `free` flags contradict each other (catalog.md section 12)."""
    if plan.models is None:
        return
    by_id = {model.id: model for model in models}
    for model_id in sorted(plan.models):
        model = by_id.get(model_id)
        if model_id not in declared:
            yield Fault(
                source, plan.id, "models", f"{model_id!r} is not in the catalog; write the exact id of an entry"
            )
        elif model is not None and not model.free:
            message = f"{model_id} is listed, but its entry has free = false; write free = true there or unlist it"
            yield Fault(source, plan.id, "models", message)
    for model in models:
        if model.free and model.category in CAPPED and model.id not in plan.models:
            message = f"{model.id} has free = true, but is not listed; list it or write free = false in its entry"
            yield Fault(source, plan.id, "models", message)
