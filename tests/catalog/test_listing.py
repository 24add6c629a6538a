"""What clients read: the model entry and the plans' lists."""

from __future__ import annotations

from typing import Any

from catalog.catalog import Catalog
from catalog.listing import model_entry, plans_access


def access(catalog: Catalog) -> dict[str, Any]:
    body: Any = plans_access(catalog)
    plans: dict[str, Any] = body["plans"]
    return plans


def test_an_entry_has_the_shape_of_the_contract(catalog: Catalog) -> None:
    assert model_entry(catalog.models["anthropic/claude-sonnet-4.6"]) == {
        "id": "anthropic/claude-sonnet-4.6",
        "object": "model",
        "created": 1748736000,
        "owned_by": "anthropic",
        "name": "Claude Sonnet 4.6",
        "description": "Anthropic's balance of ability and speed.",
        "category": "llm",
        "context_window": 1048576,
        "context_length": 1048576,
        "free": False,
        "supports_streaming": True,
        "supports_tools": True,
        "supports_reasoning": True,
        "supports_vision": True,
        "status": "active",
        "aliases": ["claude-sonnet-4.6", "claude-sonnet-4-6"],
        "pricing": {"input": 4.0, "output": 20.0, "unit": "per_million_tokens", "currency": "USD"},
    }


def test_window_and_length_are_equal_on_every_entry_and_never_null_for_chat(catalog: Catalog) -> None:
    entries = [model_entry(model) for model in catalog.models.values()]
    assert all(entry["context_window"] == entry["context_length"] for entry in entries)
    assert all(entry["context_window"] for entry in entries if entry["category"] == "llm")


def test_an_entry_without_a_price_of_its_own_shows_null(catalog: Catalog) -> None:
    assert [model.id for model in catalog.listed if model_entry(model)["pricing"] is None] == ["openrouter/auto"]


def test_the_free_plan_shows_its_25_models_by_category(catalog: Catalog) -> None:
    free = access(catalog)["free"]
    assert {name: len(ids) for name, ids in free["by_category"].items()} == {"llm": 12, "stt": 3, "tts": 4, "image": 6}
    assert sorted(free["models"]) == sorted(catalog.plans["free"].models or ())
    assert "model_not_available" in free["restriction"]


def test_a_paid_plan_shows_every_enabled_model(catalog: Catalog) -> None:
    plans = access(catalog)
    assert list(plans) == ["free", "starter", "pro", "enterprise"]
    assert plans["starter"]["models"] == plans["enterprise"]["models"]
    assert {"kimi-k2.5-fast", "openai/gpt-5.4", "gpt-realtime"} <= set(plans["pro"]["models"])
    assert "nano-banana-pro" not in plans["pro"]["models"]
