"""What usage costs: exact integer arithmetic, rounded up once, at settle (design.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.core.deltas import Usage

#: A price is micro-USD per million tokens, so a token costs `price * credits_per_usd / MILLION` micro-credits.
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Micro-USD per million tokens, and the credit rate that turns them into micro-credits."""

    input_musd: int
    output_musd: int
    credits_per_usd: int
    cached_input_musd: int | None = None
    #: Flat micro-USD for the whole call, such as one web search.
    flat_musd: int = 0

    def cost_ucr(self, usage: Usage) -> int:
        """Micro-credits for `usage`, rounded up. Buckets are made disjoint first: cached is inside the prompt."""
        cached_price = self.input_musd if self.cached_input_musd is None else self.cached_input_musd
        cached = min(usage.cached, usage.prompt)
        micro_usd = (usage.prompt - cached) * self.input_musd + cached * cached_price
        micro_usd += usage.completion * self.output_musd + self.flat_musd * MILLION
        return -(-micro_usd * self.credits_per_usd // MILLION)

    def tokens_ucr(self, prompt: int, completion: int) -> int:
        """Micro-credits for plain token counts; what holds and running estimates use."""
        return self.cost_ucr(Usage(prompt=prompt, completion=completion))

    def receipt(self) -> dict[str, Any]:
        """The figures as the receipt keeps them."""
        return {"input_musd": self.input_musd, "output_musd": self.output_musd}


#: How many of what is measured make one unit of a price: sound is measured in milliseconds.
MEASURES: Final = {"image": 1, "search": 1, "hour": 3_600_000, "minute": 60_000, "10k_characters": 10_000}


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """Micro-USD for one unit of something that is not counted in tokens; `unit` is a key of `MEASURES`."""

    unit: str
    each_musd: int
    credits_per_usd: int

    def cost_ucr(self, measured: int) -> int:
        """Micro-credits for so many images, searches, characters or milliseconds, rounded up."""
        return -(-measured * self.each_musd * self.credits_per_usd // MEASURES[self.unit])

    def receipt(self) -> dict[str, Any]:
        """The figures as the receipt keeps them."""
        return {"unit": self.unit, "each_musd": self.each_musd}
