"""What an admitted call leaves of its key's and plan's limits, and the headers that tell it (spec.md section 18)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from app.core.limits import RateState

WARNING_AT: Final = 0.80
CRITICAL_AT: Final = 0.95


@dataclass(frozen=True, slots=True)
class MonthlyCap:
    """The plan's calls of one kind: `used` counts this call and those in flight; `resets_us` is the month's end."""

    limit: int
    used: int
    resets_us: int

    def headers(self) -> dict[str, str]:
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "X-RateLimit-Reset": iso_time(self.resets_us),
        }
        share = self.used / self.limit
        if share >= WARNING_AT:
            level = "critical" if share >= CRITICAL_AT else "warning"
            headers["X-Usage-Warning"] = f"{level}: {self.used} of {self.limit} calls of this month are used"
        return headers


@dataclass(frozen=True, slots=True)
class Allowance:
    """`rate` is the key's window after this call; `cap` None when the plan has none."""

    rate: RateState
    cap: MonthlyCap | None = None

    def headers(self) -> dict[str, str]:
        return rate_headers(self.rate) | (self.cap.headers() if self.cap else {})


def rate_headers(rate: RateState) -> dict[str, str]:
    """The per-key request window in the form OpenAI's clients read."""
    return {
        "x-ratelimit-limit-requests": str(rate.limit),
        "x-ratelimit-remaining-requests": str(rate.remaining),
        "x-ratelimit-reset-requests": f"{-(-rate.reset_us // 1_000_000)}s",
    }


def refused_rate_headers(rate: RateState, at_us: int) -> dict[str, str]:
    """On a refusal by rate the plain headers speak of the same window."""
    return rate_headers(rate) | {
        "X-RateLimit-Limit": str(rate.limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": iso_time(at_us + rate.reset_us),
    }


def iso_time(at_us: int) -> str:
    return datetime.datetime.fromtimestamp(-(-at_us // 1_000_000), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
