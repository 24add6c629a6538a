"""The comma-separated lists of a key (spec.md sections 2.2, 2.3): what may stand in each, and how it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from app.core.describe import CLIP
from app.core.errors import Problem
from catalog.catalog import Catalog
from catalog.models import SEARCH_PROVIDERS
from catalog.names import passthrough_id

#: Alone in a list it stands for everything.
ALL: Final = "*"
PERMISSIONS: Final = ("llm", "stt", "tts", "search", "image")
SCOPES: Final = (
    *("bots:read", "bots:write", "conversations:read", "conversations:write", "knowledge:read", "knowledge:write"),
    *("settings:read", "settings:write", "usage:read", "webhooks:write"),
    *("whatsapp:read", "whatsapp:send", "whatsapp:write"),
)
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = rf"{_LABEL}(\.{_LABEL})*"
#: A host means any scheme and port of it; an origin means just that one.
_DOMAIN: Final = re.compile(rf"{_HOST}|https?://({_HOST}|\[[0-9a-f:.]+\])(:[0-9]{{1,5}})?")
_MODEL: Final = re.compile(r"[\w.:@+~-]+(/[\w.:@+~-]+)*", re.ASCII)


def read_permissions(text: str) -> str:
    """Service permissions; "" is none. Raises Problem 400."""
    return _read(text, "permissions", PERMISSIONS.__contains__, f"use {', '.join(PERMISSIONS)} or *")


def read_scopes(text: str) -> str:
    """Scopes of the platform API; "" is none. Raises Problem 400."""
    return _read(text, "scopes", SCOPES.__contains__, f"use {', '.join(SCOPES)} or *")


def read_domains(text: str) -> str:
    """Hosts and origins whose pages may use the key. Raises Problem 400."""
    hint = "write hosts such as shop.example, origins such as https://shop.example:8443, or *"
    return _read_some(text.lower(), "allowed_domains", lambda word: _DOMAIN.fullmatch(word) is not None, hint)


def read_models(text: str, catalog: Catalog) -> str:
    """Ids and aliases of the catalog, and slash ids, which may be passed through. Raises Problem 400."""
    hint = "write ids of `GET /v1/models`, or *"
    return _read_some(text, "allowed_models", lambda word: _is_callable(word, catalog), hint)


def read_search_providers(text: str) -> str:
    """Raises Problem 400."""
    hint = f"use {', '.join(SEARCH_PROVIDERS)} or *"
    return _read_some(text, "allowed_search_providers", SEARCH_PROVIDERS.__contains__, hint)


def _is_callable(name: str, catalog: Catalog) -> bool:
    if not _MODEL.fullmatch(name):
        return False
    found = catalog.resolve(name)
    if found is None:
        return passthrough_id(name) is not None
    return found.model.status != "disabled" and found.model.category != "search"


def _read_some(text: str, param: str, is_known: Callable[[str], bool], hint: str) -> str:
    """A list that says where a key may be used: an empty one could be read as none or as all, so it is refused."""
    found = _read(text, param, is_known, hint)
    if not found:
        raise Problem("invalid_value", f"{param} is empty: {hint}.", param)
    return found


def _read(text: str, param: str, is_known: Callable[[str], bool], hint: str) -> str:
    words = list(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))
    for word in words:
        if word != ALL and not is_known(word):
            raise Problem("invalid_value", f"{param} has {_clipped(word)}: {hint}.", param)
    return ALL if ALL in words else ",".join(words)


def _clipped(word: str) -> str:
    return repr(word if len(word) <= CLIP else f"{word[:CLIP]}…")
