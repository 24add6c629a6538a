"""From what a client wrote as `model` to a catalog entry: the look-up order of spec.md section 5.4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

from catalog.models import Model

Sort = Literal["throughput", "price"]
SUFFIXES: Final[dict[str, Sort]] = {":nitro": "throughput", ":floor": "price"}


def split_sort(name: str) -> tuple[str, Sort | None]:
    """The look-up key (case folded) and the `provider.sort` that a suffix on a slash id stands for."""
    key = name.casefold()
    if "/" in key:
        for suffix, sort in SUFFIXES.items():
            if key.endswith(suffix):
                return key.removesuffix(suffix), sort
    return key, None


def name_index(models: Iterable[Model]) -> dict[str, Model]:
    """Every name that finds an entry: ids before aliases before the tails that only one slash id has."""
    entries = list(models)
    index = {model.id.casefold(): model for model in entries}
    for model in entries:
        for alias in model.aliases:
            index.setdefault(alias.casefold(), model)
    frontier = [model for model in entries if model.frontier and model.status != "disabled"]
    tails = Counter(_tail(model) for model in frontier)
    for model in frontier:
        if tails[_tail(model)] == 1:
            index.setdefault(_tail(model), model)
    return index


def vendor_name(key: str) -> str | None:
    """`anthropic/claude-x` for the bare `claude-x`, else None."""
    return f"anthropic/{key}" if key.startswith("claude-") and "/" not in key else None


def passthrough_id(name: str) -> str | None:
    """The id to look for in OpenRouter's price list when the catalog has no such entry; None for other bare names."""
    key, _sort = split_sort(name)
    return key if "/" in key else vendor_name(key)


def _tail(model: Model) -> str:
    return model.id.casefold().split("/", 1)[1]
