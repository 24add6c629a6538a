"""A stored call as its tenant sees it: what was tried, held, charged, and on what basis (spec.md section 12)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from app.core.money import UCR_PER_CREDIT, credits_from_ucr


def receipt(call: Mapping[str, Any], credits_per_usd: int) -> dict[str, Any]:
    """The reply for one row of `storage.calls`. Amounts are credits, `total_cost` is USD, times are milliseconds."""
    facts = call["receipt"]
    usage = facts.get("usage") or {}
    attempts = facts.get("attempts") or []
    finishes = facts.get("finish_reasons") or {}
    return {
        "id": call["id"],
        "request_id": call["request_id"],
        "model": facts.get("model", call["model"]),
        "requested_model": call["model"],
        "endpoint": call["endpoint"],
        "provider_name": attempts[-1]["provider"] if attempts else None,
        "created_at": _iso(call["opened_at"]),
        "ended_at": _iso(call["ended_at"]),
        "streamed": bool(call["streamed"]),
        "cancelled": call["outcome"] == "cancelled",
        "cancelled_at": facts.get("cancelled_at"),
        "outcome": call["outcome"],
        "finish_reason": next(iter(finishes.values()), None),
        "tokens_prompt": usage.get("prompt"),
        "tokens_completion": usage.get("completion"),
        "native_tokens_reasoning": usage.get("reasoning"),
        "native_tokens_cached": usage.get("cached"),
        "tokens_prompt_estimate": facts.get("prompt_estimate"),
        "latency": facts.get("first_content_ms"),
        "generation_time": facts.get("total_ms"),
        "total_cost": call["charge"] / (UCR_PER_CREDIT * credits_per_usd),
        "credits": credits_from_ucr(call["charge"]),
        "uncollected": credits_from_ucr(call["uncollected"]),
        "hold": {"state": call["state"], "credits": credits_from_ucr(call["hold"])},
        "units": facts.get("units"),
        "settlement_basis": call["basis"],
        "settlement_rule": call["rule"],
        "prices": _prices(facts.get("prices")),
        "attempts": [
            {
                "provider": one["provider"],
                "model": one["model"],
                "status": one.get("status") or (None if "code" in one else 200),
                "code": one.get("code"),
                "ms": one["ms"],
            }
            for one in attempts
        ],
        "ignored_parameters": facts.get("ignored") or [],
        "dropped_parameters": facts.get("dropped") or [],
        "sdk_retries": facts.get("sdk_retries", 0),
        "api_key_id": call["key_id"],
    }


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC).isoformat()


def _prices(prices: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if prices is None:
        return None
    if "unit" in prices:
        return {"price": prices["each_musd"] / UCR_PER_CREDIT, "unit": f"per_{prices['unit']}"}
    return {"input": prices["input_musd"] / UCR_PER_CREDIT, "output": prices["output_musd"] / UCR_PER_CREDIT}
