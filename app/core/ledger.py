"""The money rules as pure decisions: may this call start, and what does its end move. No I/O, no clock."""

from __future__ import annotations

import datetime
import functools
from dataclasses import dataclass
from typing import Final, Literal

from app.core.allowance import Allowance, MonthlyCap, refused_rate_headers
from app.core.errors import Problem
from app.core.limits import Rate, take

#: How a call's hold stands. `held` is the only open state; the other three are final (design.md invariant 2).
State = Literal["held", "posted", "voided", "expired"]
#: Where a charge's figure comes from (pains.md section 2).
Basis = Literal["provider_usage", "usage_snapshot", "tokenizer_estimate", "none"]
Outcome = Literal["completed", "cancelled", "failed", "interrupted"]

HELD_RETRY_S: Final = 1
DAY_US: Final = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database says of a key and its tenant inside the admission transaction. Amounts in ucr, times in us."""

    key_version: int
    key_active: bool
    key_expires_us: int | None
    key_tat_us: int
    key_in_flight: int
    key_spent: int
    key_held: int
    tenant_status: str
    tenant_version: int
    balance: int
    held: int
    tenant_budget: int | None
    tenant_spent: int
    calls_ended: int
    calls_open: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the plan and the key allow; None is no limit."""

    rate: Rate
    concurrency: int
    monthly_calls: int | None = None
    key_budget: int | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an ending moves: `charge` leaves the balance, `uncollected` is cost nobody had credits for."""

    charge: int
    uncollected: int


def month_of(at_us: int) -> str:
    """The calendar month in UTC, as `2026-11`: the key of caps and budgets."""
    return _month_of_day(at_us // DAY_US)


@functools.lru_cache(maxsize=4)
def _month_of_day(day: int) -> str:
    return datetime.datetime.fromtimestamp(day * DAY_US / 1e6, datetime.UTC).strftime("%Y-%m")


def seconds_to_next_month(at_us: int) -> float:
    now = datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC)
    first = (now.replace(day=1) + datetime.timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first - now).total_seconds()


def admit(standing: Standing, limits: Limits, hold: int, at_us: int) -> Allowance:
    """Whether a call that needs `hold` ucr may start; the checks 6 to 12 of spec.md section 3, in that order.

    Returns what is left of the limits. Raises the first Problem that applies; a refusal changes nothing.
    """
    rate = take(limits.rate, standing.key_tat_us, at_us)
    if not rate.allowed:
        raise Problem(
            "rate_limit_exceeded",
            f"This key allows {limits.rate.per_minute} requests a minute. Wait for the time in Retry-After.",
            retry_after_s=rate.retry_after_us / 1e6,
            headers=refused_rate_headers(rate, at_us),
        )
    if standing.key_in_flight >= limits.concurrency:
        raise Problem(
            "too_many_concurrent_requests",
            f"This key allows {limits.concurrency} requests at the same time. Wait until one of yours has ended.",
            retry_after_s=HELD_RETRY_S,
        )
    cap = None if limits.monthly_calls is None else _check_cap(standing, limits.monthly_calls, at_us)
    _check_budget("key", limits.key_budget, standing.key_spent, standing.key_held, hold)
    _check_budget("organisation", standing.tenant_budget, standing.tenant_spent, standing.held, hold)
    _check_credits(standing, hold)
    return Allowance(rate, cap)


def _check_cap(standing: Standing, cap: int, at_us: int) -> MonthlyCap:
    to_reset_s = seconds_to_next_month(at_us)
    if standing.calls_ended >= cap:
        raise Problem(
            "quota_exceeded",
            f"Your plan's {cap} calls of this kind for the month are used up. Upgrade, or wait for the next month.",
            retry_after_s=to_reset_s,
        )
    if standing.calls_ended + standing.calls_open >= cap:
        raise Problem(
            "too_many_concurrent_requests",
            f"Your calls in flight would pass your plan's {cap} calls for the month. Wait until one has ended.",
            retry_after_s=HELD_RETRY_S,
        )
    return MonthlyCap(cap, standing.calls_ended + standing.calls_open + 1, at_us + int(to_reset_s * 1e6))


def _check_budget(whose: str, budget: int | None, spent: int, held: int, hold: int) -> None:
    if budget is None or spent + held + hold <= budget:
        return
    if spent >= budget:
        raise Problem("budget_exceeded", f"The monthly budget of this {whose} is spent. An admin can raise it.")
    if spent + hold > budget:
        raise Problem(
            "budget_exceeded",
            f"This call needs {hold / 1e6:.6f} credits to start and {(budget - spent) / 1e6:.6f} credits are left of "
            f"the monthly budget of this {whose}. Lower max_tokens, or ask an admin to raise it.",
        )
    raise Problem(
        "credits_held",
        f"The monthly budget of this {whose} is held by calls in flight. Try again when one of them has ended.",
        retry_after_s=HELD_RETRY_S,
    )


def _check_credits(standing: Standing, hold: int) -> None:
    if standing.balance - standing.held >= hold:
        return
    balance = {"X-Credits-Balance": f"{standing.balance / 1e6:.6f}"}
    if standing.balance < hold:
        raise Problem(
            "insufficient_credits",
            f"This call needs {hold / 1e6:.6f} credits to start and the balance is {standing.balance / 1e6:.6f}. "
            "Top up, or lower max_tokens.",
            headers=balance,
        )
    raise Problem(
        "credits_held",
        "Your balance covers this call, but your other calls in flight hold it. Try again when one has ended.",
        retry_after_s=HELD_RETRY_S,
    )


def settle(cost: int, hold: int, balance: int, held: int) -> Settlement:
    """Charge at most the hold plus what no other call holds; the rest is recorded, never owed (B14)."""
    charge = min(cost, hold + max(0, balance - held))
    return Settlement(charge, cost - charge)
