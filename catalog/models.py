"""One catalog entry: its types and how it is read from a document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from catalog.documents import Document, Fault
from catalog.prices import Price, Unit, read_price
from catalog.reasoning import ROWS, ReasoningRow

Category = Literal["llm", "stt", "tts", "image", "embedding", "search"]
Status = Literal["active", "maintenance", "voice_only", "disabled"]
Ability = Literal["vision", "tools", "reasoning", "streaming"]
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
ABILITIES: Final[tuple[Ability, ...]] = get_args(Ability)

SEARCH_PROVIDERS: Final = ("serper", "exa", "tavily", "brave", "searxng")
#: `fast` and `local` are OpenAI-compatible endpoints whose address is configuration.
PROVIDERS: Final = ("sarvam", "cloudflare", "openrouter", "fast", "local", *SEARCH_PROVIDERS)

UNITS_OF: Final[dict[Category, tuple[Unit, ...]]] = {
    "llm": ("tokens", "by_pick"),
    "stt": ("hour", "minute"),
    "tts": ("10k_characters",),
    "image": ("image",),
    "embedding": ("tokens",),
    "search": ("search",),
}
#: Keys of `details` and their kinds; those in REQUIRED_DETAILS must be there.
DETAILS_OF: Final[dict[Category, dict[str, type]]] = {
    "llm": {},
    "stt": {
        "languages": tuple,
        "language_count": int,
        "modes": tuple,
        "word_times": bool,
        "diarization": bool,
        "max_call_seconds": int,
    },
    "tts": {"voices": tuple, "default_voice": str, "languages": tuple, "formats": tuple, "instructions": bool},
    "image": {},
    "embedding": {"dimensions": int, "shortenable": bool},
    "search": {"preferred_by": tuple, "names": tuple},
}
REQUIRED_DETAILS: Final = frozenset({"voices", "default_voice", "dimensions", "modes"})
#: 2025-06-01, the `created` of an entry that gives none (spec.md section 6).
CREATED: Final = 1_748_736_000
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")

Detail = str | int | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """One provider that serves a model. `options` belong to its adapter, e.g. `efforts` (wire/cloudflare.md)."""

    provider: str
    upstream: str
    options: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Model:
    """What clients name and pay for: catalog.md section 1. `routes` are tried in order."""

    id: str
    owner: str
    name: str
    description: str
    category: Category
    price: Price
    routes: tuple[Route, ...] = ()
    context_window: int | None = None
    supports_vision: bool = False
    supports_tools: bool = False
    supports_reasoning: bool = False
    supports_streaming: bool = False
    reasoning: ReasoningRow = "forward"
    free: bool = False
    status: Status = "active"
    fallback: str | None = None
    aliases: tuple[str, ...] = ()
    created: int = CREATED
    details: Mapping[str, Detail] = field(default_factory=dict, hash=False)

    @property
    def frontier(self) -> bool:
        """True for slash ids (spec.md section 5.4)."""
        return "/" in self.id

    def document(self) -> dict[str, object]:
        """The canonical, JSON-able form that `read_model` reads back; what is absent or empty is left out."""
        text = self.category == "llm" and self.status != "voice_only"
        document: dict[str, object] = {
            "id": self.id,
            "owner": self.owner,
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "context_window": self.context_window,
            "supports": [word for word in ABILITIES if getattr(self, f"supports_{word}")],
            "reasoning": self.reasoning if text else None,
            "free": self.free,
            "status": self.status,
            "fallback": self.fallback,
            "aliases": list(self.aliases),
            "created": self.created,
            "price": self.price.document(),
            "routes": [
                {"provider": route.provider, "upstream": route.upstream}
                | ({"options": dict(route.options)} if route.options else {})
                for route in self.routes
            ],
            "details": {key: list(value) if isinstance(value, tuple) else value for key, value in self.details.items()},
        }
        return {key: value for key, value in document.items() if value not in (None, [], {})}


def read_model(source: str, entry: str, values: object, faults: list[Fault]) -> Model | None:
    """The entry, or None when `faults` grew."""
    before = len(faults)
    document = Document(source, entry, values, faults)
    model_id = document.text("id", "kimi-k2.6")
    if model_id and not _ID.fullmatch(model_id):
        document.fault("id", f"is {model_id!r}; write letters, digits and . _ : / @ + - only")
    category = document.choice("category", CATEGORIES)
    status = document.choice("status", STATUSES, default="active")
    if category is None or status is None:
        return None
    supports = _read_supports(document)
    price_table = document.table("price")
    price: Price | None = None
    if document.has("price"):
        price = read_price(price_table, UNITS_OF[category], output=category == "llm")
    else:
        document.fault("price", 'is missing; write price = { unit = "...", ... }: nothing is sold without a price')
    model = Model(
        id=model_id,
        owner=document.text("owner", "moonshotai"),
        name=document.text("name", "Kimi K2.6"),
        description=document.text("description", "What it is good for, in one sentence."),
        category=category,
        price=price or Price(UNITS_OF[category][0], 0),
        routes=_read_routes(document),
        context_window=_read_context(document, category),
        supports_vision="vision" in supports,
        supports_tools="tools" in supports,
        supports_reasoning="reasoning" in supports,
        supports_streaming="streaming" in supports,
        reasoning=_read_reasoning(document, category, status),
        free=document.flag("free"),
        status=status,
        fallback=document.optional_text("fallback", "kimi-k2.5"),
        aliases=document.texts("aliases"),
        created=document.whole("created", 1) if document.has("created") else CREATED,
        details=_read_details(document.table("details"), category),
    )
    document.get("created")
    _check_status(document, model)
    document.close()
    return model if len(faults) == before else None


def _read_supports(document: Document) -> tuple[str, ...]:
    supports = document.texts("supports")
    for word in supports:
        if word not in ABILITIES:
            document.fault("supports", f"holds {word!r}; write any of {', '.join(ABILITIES)}")
    return supports


def _read_routes(document: Document) -> tuple[Route, ...]:
    routes = []
    for table in document.tables("routes"):
        provider = table.choice("provider", PROVIDERS)
        upstream = table.text("upstream", "@cf/moonshotai/kimi-k2.6")
        options = table.table("options").rest()
        try:
            json.dumps(options)
        except TypeError:
            table.fault("options", "holds what JSON cannot; write strings, whole numbers, true or false, lists, tables")
        table.close()
        routes.append(Route(provider or "", upstream, options))
    return tuple(routes)


def _read_context(document: Document, category: Category) -> int | None:
    if category in ("llm", "embedding") or document.has("context_window"):
        return document.whole("context_window", 1)
    document.get("context_window")
    return None


def _read_reasoning(document: Document, category: Category, status: Status) -> ReasoningRow:
    if category == "llm" and status != "voice_only":
        return document.choice("reasoning", ROWS) or "forward"
    if document.get("reasoning") is not None:
        document.fault("reasoning", "belongs to chat models only; remove it")
    return "forward"


def _read_details(table: Document, category: Category) -> dict[str, Detail]:
    details: dict[str, Detail] = {}
    for key, kind in DETAILS_OF[category].items():
        if key not in REQUIRED_DETAILS and not table.has(key):
            table.get(key)
        elif kind is bool:
            details[key] = table.flag(key)
        elif kind is int:
            details[key] = table.whole(key, 1)
        elif kind is str:
            details[key] = table.text(key, "default")
        else:
            details[key] = table.texts(key)
            if key in REQUIRED_DETAILS and not details[key]:
                table.fault(key, "is empty; write a list of at least one string")
    voices = details.get("voices", ())
    if category == "tts" and isinstance(voices, tuple) and voices and details["default_voice"] not in voices:
        table.fault("default_voice", f"is {details['default_voice']!r}; write one of voices, such as {voices[0]!r}")
    table.close()
    return details


def _check_status(document: Document, model: Model) -> None:
    if model.status == "active" and not model.routes:
        document.fault("routes", 'is empty; write a route, or status = "disabled"')
    if model.status == "voice_only" and model.category != "llm":
        document.fault("status", f"is voice_only on an entry of {model.category}; write it on llm entries only")
    if model.price.minute_musd is not None and model.status != "voice_only":
        document.fault("price.minute", "belongs to voice_only entries; remove it")
