"""What usage costs: exact integer arithmetic, rounded up once, at settle (design.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
