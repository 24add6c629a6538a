"""Plans (spec.md section 19) and rates (catalog.md section 1): their types and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from catalog.documents import UNLIMITED, Document, Fault
from catalog.models import Category, Model
from catalog.packs import Pack, read_packs
from catalog.prices import Price, read_decimal, read_price

#: Categories with a monthly cap; embeddings and searches are not capped.
CAPPED: Final[tuple[Category, ...]] = ("llm", "stt", "tts", "image")
LIMITS: Final = ("conversations", "storage_mb", "members", "voice_sessions")
SMALLEST_IN_FLIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tenant may call and how much of it; None means no limit.

    `models` None means all. `caps` count successful calls a calendar month, UTC. `rpm` is per key, unless the key has
    its own. Credits are whole credits.
    """

    id: str
    name: str
    models: frozenset[str] | None = field(hash=False)
    caps: Mapping[Category, int | None] = field(hash=False)
    rpm: int
    conversations: int | None
    storage_mb: int | None
    members: int | None
    voice_sessions: int | None
    monthly_credits: int
    first_month_credits: int
    signup_bonus_credits: int
    price_inr: int

    @property
    def in_flight(self) -> int:
        """Calls a key may have running at once: 4 x rpm / 60, at least 8."""
        return max(SMALLEST_IN_FLIGHT, 4 * self.rpm // 60)

    def allows(self, model: Model) -> bool:
        return self.models is None or model.free

    def cap(self, category: Category) -> int | None:
        """Calls a month, None when there is no cap."""
        return self.caps.get(category)

    def document(self) -> dict[str, object]:
        """The canonical form that `read_plan` reads back."""
        limits = {key: getattr(self, key) for key in LIMITS}
        return {
            "name": self.name,
            "models": "all" if self.models is None else sorted(self.models),
            "caps": {key: UNLIMITED if cap is None else cap for key, cap in self.caps.items()},
            "rpm": self.rpm,
            **{key: UNLIMITED if limit is None else limit for key, limit in limits.items()},
            "monthly_credits": self.monthly_credits,
            "first_month_credits": self.first_month_credits,
            "signup_bonus_credits": self.signup_bonus_credits,
            "price_inr": self.price_inr,
        }


@dataclass(frozen=True, slots=True)
class Rates:
    """`credits = USD x credits_per_usd`; `passthrough_markup` multiplies an upstream's list price; `packs` are sold."""

    credits_per_usd: int
    passthrough_markup: Decimal
    by_pick_hold: Price
    default_model: str
    default_stt_model: str
    default_tts_model: str
    packs: tuple[Pack, ...] = ()

    def document(self) -> dict[str, object]:
        """The canonical form that `read_rates` reads back."""
        return {
            "credits_per_usd": self.credits_per_usd,
            "passthrough_markup": f"{self.passthrough_markup.normalize():f}",
            "by_pick_hold": self.by_pick_hold.document(),
            "default_model": self.default_model,
            "default_stt_model": self.default_stt_model,
            "default_tts_model": self.default_tts_model,
            "packs": [pack.document() for pack in self.packs],
        }


def read_plan(source: str, plan_id: str, values: object, faults: list[Fault]) -> Plan | None:
    """The plan, or None when `faults` grew."""
    before = len(faults)
    document = Document(source, plan_id, values, faults)
    models: frozenset[str] | None = None
    if document.get("models") != "all":
        models = frozenset(document.texts("models"))
        if len(faults) == before and not models:
            document.fault("models", 'is missing or empty; write "all" or a list of ids')
    caps = document.table("caps")
    plan = Plan(
        id=plan_id,
        name=document.text("name", "Starter"),
        models=models,
        caps={category: caps.limit(category) for category in CAPPED},
        rpm=document.whole("rpm", 1),
        conversations=document.limit("conversations"),
        storage_mb=document.limit("storage_mb"),
        members=document.limit("members"),
        voice_sessions=document.limit("voice_sessions"),
        monthly_credits=document.whole("monthly_credits"),
        first_month_credits=document.whole("first_month_credits"),
        signup_bonus_credits=document.whole("signup_bonus_credits"),
        price_inr=document.whole("price_inr"),
    )
    caps.close()
    document.close()
    return plan if len(faults) == before else None


def read_rates(source: str, values: object, faults: list[Fault]) -> Rates | None:
    """The rates, or None when `faults` grew."""
    before = len(faults)
    document = Document(source, "rates", values, faults)
    hold = read_price(document.table("by_pick_hold"), ("tokens",))
    rates = Rates(
        credits_per_usd=document.whole("credits_per_usd", 1),
        passthrough_markup=read_decimal(document, "passthrough_markup", "1.0"),
        by_pick_hold=hold or Price("tokens", 0),
        default_model=document.text("default_model", "kimi-k2.5-fast"),
        default_stt_model=document.text("default_stt_model", "saaras:v3"),
        default_tts_model=document.text("default_tts_model", "bulbul:v3"),
        packs=read_packs(document, "packs"),
    )
    document.close()
    return rates if len(faults) == before else None
