"""The small questions beside chat: model lists, OpenRouter's key, credits and late usage."""

from __future__ import annotations

from typing import Any, Final

from scripts.simulator.chat import Asked, refusal
from scripts.simulator.dialects.dialect import Tokens
from scripts.simulator.dialects.openrouter import COMPLETION_USD, PROMPT_USD, PROVIDER, cost
from scripts.simulator.script import Script, json_script
from scripts.simulator.triggers import TRIGGERS

_CREATED: Final = 1_767_225_600
_CONTEXT: Final = 131_072
#: Any model id is answered; these are the ones a list shows.
_MODELS: Final[dict[str, tuple[str, ...]]] = {
    "openrouter": ("openrouter/free", "openai/gpt-5.4", "openai/gpt-5.4-mini"),
    "sarvam": ("sarvam-30b", "sarvam-105b"),
    "openai": ("simulated-large", "simulated-small"),
    "local": ("simulated-large", "simulated-small"),
}
_CREDITS_BOUGHT: Final = 1000.0


def model_list(asked: Asked) -> Script:
    """The models of this surface and one `mock/TRIGGER` each; OpenRouter's shape needs no key (openrouter.md, 1)."""
    name = asked.dialect.name
    if name != "openrouter" and not asked.dialect.credited(asked.headers):
        return refusal(asked.dialect, "bad_key")
    ids = (*_MODELS[name], *(f"mock/{trigger}" for trigger in TRIGGERS if ":" not in trigger))
    if name == "openrouter":
        return json_script({"data": [_priced(model) for model in ids]})
    entries = [{"id": model, "object": "model", "created": _CREATED, "owned_by": name} for model in ids]
    return json_script({"object": "list", "data": entries})


def key(asked: Asked) -> Script:
    if not asked.dialect.credited(asked.headers):
        return refusal(asked.dialect, "bad_key")
    used = _used(asked)
    spent = {f"usage{span}": used for span in ("", "_daily", "_weekly", "_monthly")}
    limits = {"limit": None, "limit_remaining": None, "limit_reset": None}
    return json_script({"data": {"label": "simulator", **limits, **spent, "is_free_tier": False}})


def account_credits(asked: Asked) -> Script:
    if not asked.dialect.credited(asked.headers):
        return refusal(asked.dialect, "bad_key")
    return json_script({"data": {"total_credits": _CREDITS_BOUGHT, "total_usage": _used(asked)}})


def generation(asked: Asked) -> Script:
    """What the book knows of an answer by its id: tokens really sent, also after a cancel. 404 while it runs."""
    if not asked.dialect.credited(asked.headers):
        return refusal(asked.dialect, "bad_key")
    record = asked.book.by_answer(asked.query.get("id", ""))
    if record is None or record.outcome is None:
        return refusal(asked.dialect, "not_found", "Generation not found")
    counts = Tokens(record.prompt_tokens or 0, 0, record.tokens_sent, 0)
    reason = "stop" if record.outcome == "finished" else None
    usd = cost(counts)
    data: dict[str, Any] = {
        "id": record.answer_id,
        "upstream_id": None,
        "model": record.model,
        "provider_name": PROVIDER,
        "total_cost": usd,
        "usage": usd,
        "tokens_prompt": counts.prompt,
        "tokens_completion": counts.completion,
        "native_tokens_prompt": counts.prompt,
        "native_tokens_completion": counts.completion,
        "native_tokens_reasoning": 0,
        "native_tokens_cached": 0,
        "finish_reason": reason,
        "native_finish_reason": reason,
        "latency": _milliseconds(record.accepted, record.first_byte),
        "generation_time": _milliseconds(record.first_byte, record.finished or record.close_seen),
        "streamed": bool(isinstance(record.body, dict) and record.body.get("stream")),
        "cancelled": record.outcome == "peer_closed",
        "is_byok": False,
        "created_at": record.wall,
    }
    return json_script({"data": data})


def _priced(model: str) -> dict[str, Any]:
    prices = {"prompt": f"{PROMPT_USD:.7f}", "completion": f"{COMPLETION_USD:.7f}", "request": "0", "image": "0"}
    return {
        "id": model,
        "canonical_slug": model,
        "name": model,
        "created": _CREATED,
        "context_length": _CONTEXT,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "pricing": prices,
        "top_provider": {"context_length": _CONTEXT, "max_completion_tokens": None, "is_moderated": False},
        "supported_parameters": ["max_tokens", "temperature", "tools", "response_format", "reasoning"],
    }


def _used(asked: Asked) -> float:
    """USD spent at this surface, as far as the book remembers."""
    records = (record for record in asked.book.records() if record.dialect == asked.dialect.name)
    return round(sum(cost(Tokens(record.prompt_tokens or 0, 0, record.tokens_sent, 0)) for record in records), 6)


def _milliseconds(start: float | None, end: float | None) -> int:
    return 0 if start is None or end is None else round((end - start) * 1000)
