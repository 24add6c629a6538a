"""The models of a self-hosted server as catalog entries: `local/<id>`, free, never replaced by another provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from catalog.models import Model, Route
from catalog.prices import Price

DEFAULT_CONTEXT: Final = 131_072


def local_models(listed: Iterable[Any]) -> list[Model]:
    """Entries for what `GET /models` of the server lists; what is not a model entry, or named before, is skipped."""
    models: dict[str, Model] = {}
    for entry in listed:
        upstream = entry.get("id") if isinstance(entry, Mapping) else None
        if not isinstance(upstream, str) or not upstream or upstream.casefold() in models:
            continue
        context = entry.get("max_model_len") or entry.get("context_length")
        models[upstream.casefold()] = Model(
            id=f"local/{upstream}",
            owner=str(entry.get("owned_by") or "self-hosted"),
            name=upstream,
            description="Served by this installation's own model server.",
            category="llm",
            price=Price("tokens", 0, 0),
            routes=(Route("local", upstream),),
            context_window=context if isinstance(context, int) and context > 0 else DEFAULT_CONTEXT,
            supports_vision=True,
            supports_tools=True,
            supports_reasoning=True,
            supports_streaming=True,
            free=True,
        )
    return list(models.values())
