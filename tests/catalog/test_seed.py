"""The seed data against what was promised to users: vision list, context table, free list, prices, plans."""

from __future__ import annotations

import pytest

from catalog.catalog import Catalog
from catalog.models import Model

MILLION = 1_000_000

VISION_LIST = """
    openai/gpt-5.4-pro openai/gpt-5.4 openai/gpt-5.4-mini openai/gpt-5.4-nano anthropic/claude-opus-4.6
    anthropic/claude-sonnet-4.6 anthropic/claude-haiku-4.5 google/gemini-3.1-pro-preview google/gemini-3-flash-preview
    google/gemini-3.5-flash google/gemini-3.1-flash-lite x-ai/grok-4.20 qwen/qwen3.5-plus qwen/qwen3.5-flash kimi-k2.5
    kimi-k2.6 kimi-k2.7-code gemma-4-26b-a4b-it mistral-small-3.1 mistralai/mistral-small-2603 auto openrouter/auto
"""
VISION = VISION_LIST.split()

CONTEXT = {
    1_048_576: """openai/gpt-5.4 openai/gpt-5.4-pro openai/gpt-5.4-mini openai/gpt-5.4-nano anthropic/claude-opus-4.6
        anthropic/claude-sonnet-4.6 google/gemini-3.1-pro-preview google/gemini-3-flash-preview google/gemini-3.5-flash
        google/gemini-3.1-flash-lite nemotron-3-super""",
    262_144: """x-ai/grok-4.20 qwen/qwen3.5-plus qwen/qwen3.5-flash kimi-k2.5 kimi-k2.5-fast kimi-k2.6 kimi-k2.7-code
        glm-5.2""",
    131_072: "sarvam-105b gpt-oss-120b glm-4.7-flash gemma-4-26b-a4b-it mistralai/mistral-small-2603",
    65_536: "sarvam-30b",
}
CONTEXT_ROWS = [(model_id, window) for window, ids in CONTEXT.items() for model_id in ids.split()]

#: Named by the seed as catalog ids, besides those of the two lists above.
OTHER_SEED_IDS = {"saaras:v3"}
#: Not in the seed's vision list, yet called multimodal by the vendor's documents (catalog.md section 4).
VISION_BESIDES = {"openai/gpt-5.5", "openai/gpt-5-mini", "openai/gpt-4.1", "openai/gpt-4o", "x-ai/grok-4.3"}

FREE = {
    "llm": """auto sarvam-30b sarvam-105b kimi-k2.5 kimi-k2.6 kimi-k2.7-code glm-4.7-flash glm-5.2 gpt-oss-120b
        nemotron-3-super gemma-4-26b-a4b-it mistral-small-3.1""",
    "stt": "saaras:v3 whisper-large-v3-turbo nova-3",
    "tts": "bulbul:v3 aura-2-en aura-2-es melotts",
    "image": "flux-2-klein-9b flux-2-dev lucid-origin phoenix-1.0 sdxl-lightning dreamshaper-8-lcm",
}


def token_cost_ucr(catalog: Catalog, model_id: str, tokens_in: int, tokens_out: int) -> float:
    price = catalog.models[model_id].price
    musd = tokens_in * price.input_musd + tokens_out * price.output_musd
    return musd * catalog.rates.credits_per_usd / MILLION


def unit_cost_ucr(catalog: Catalog, model_id: str) -> int:
    return catalog.models[model_id].price.input_musd * catalog.rates.credits_per_usd


def chat_models(catalog: Catalog) -> list[Model]:
    return [model for model in catalog.models.values() if model.category == "llm"]


def test_every_table_of_the_seed_is_there(catalog: Catalog) -> None:
    counts = {
        name: sum(m.category == name for m in catalog.models.values())
        for name in ("llm", "stt", "tts", "image", "embedding", "search")
    }
    assert counts == {"llm": 13 + 23 + 6, "stt": 7, "tts": 5, "image": 10, "embedding": 3, "search": 5}


@pytest.mark.parametrize("model_id", VISION)
def test_a_model_of_the_vision_list_sees(catalog: Catalog, model_id: str) -> None:
    assert catalog.models[model_id].supports_vision


def test_no_other_model_sees_but_those_the_vendor_calls_multimodal(catalog: Catalog) -> None:
    seeing = {model.id for model in catalog.models.values() if model.supports_vision}
    assert seeing - set(VISION) == VISION_BESIDES


@pytest.mark.parametrize(("model_id", "window"), CONTEXT_ROWS)
def test_the_context_table_holds_figure_by_figure(catalog: Catalog, model_id: str, window: int) -> None:
    assert catalog.models[model_id].context_window == window


def test_every_chat_model_advertises_a_context(catalog: Catalog) -> None:
    assert [model.id for model in chat_models(catalog) if not model.context_window] == []


@pytest.mark.parametrize("category", FREE)
def test_the_free_flags_are_the_free_list(catalog: Catalog, category: str) -> None:
    free = {model.id for model in catalog.models.values() if model.free and model.category == category}
    assert free == set(FREE[category].split())


def test_the_free_plan_lists_25_models_and_allows_embeddings_on_top(catalog: Catalog) -> None:
    free = catalog.plans["free"]
    assert free.models == frozenset(" ".join(FREE.values()).split())
    assert len(free.models) == 25
    assert all(free.allows(m) for m in catalog.models.values() if m.category == "embedding")


def test_500_tokens_in_and_200_out_of_kimi_k2_5_cost_0_1215_credits(catalog: Catalog) -> None:
    assert token_cost_ucr(catalog, "kimi-k2.5", 500, 200) == 121_500


@pytest.mark.parametrize(
    ("model_id", "credits"),
    [
        ("nano-banana-pro", "13.4"),
        ("nano-banana-2", "6.7"),
        ("flux-2-dev", "12"),
        ("sdxl-lightning", "4"),
        ("search:serper", "1"),
        ("search:searxng", "1"),
        ("saaras:v3", "53"),
        ("melotts", "5"),
    ],
)
def test_a_unit_costs_its_credits(catalog: Catalog, model_id: str, credits: str) -> None:
    whole, _, rest = credits.partition(".")
    assert unit_cost_ucr(catalog, model_id) == int(whole) * MILLION + int(rest.ljust(6, "0"))


def test_a_million_embedded_tokens_cost_2_and_13_credits(catalog: Catalog) -> None:
    assert token_cost_ucr(catalog, "text-embedding-3-small", MILLION, 0) == 2 * MILLION
    assert token_cost_ucr(catalog, "text-embedding-3-large", MILLION, 0) == 13 * MILLION


def test_a_model_billed_by_its_pick_is_held_at_5_and_30_dollars(catalog: Catalog) -> None:
    router = catalog.models["openrouter/auto"]
    hold = catalog.hold_price(router)
    assert router.price.unit == "by_pick"
    assert (hold.input_musd, hold.output_musd) == (5 * MILLION, 30 * MILLION)


def test_any_other_model_is_held_at_its_own_price(catalog: Catalog) -> None:
    model = catalog.models["kimi-k2.6"]
    assert catalog.hold_price(model) is model.price


def test_only_what_can_be_billed_by_the_token_minute_or_piece_has_no_figures(catalog: Catalog) -> None:
    unpriced = [model.id for model in catalog.models.values() if model.price.input_musd == 0]
    assert unpriced == ["openrouter/auto"]


def test_the_default_fast_tier_fails_over_from_its_own_host_to_cloudflare(catalog: Catalog) -> None:
    model = catalog.default_model
    assert (model.id, model.status, model.fallback) == ("kimi-k2.5-fast", "active", "kimi-k2.5")
    assert [route.provider for route in model.routes] == ["fast", "cloudflare"]
    assert model.routes[1].upstream == catalog.models["kimi-k2.5"].routes[0].upstream


def test_a_slash_id_goes_to_openrouter_and_its_model_judges_the_effort(catalog: Catalog) -> None:
    frontier = [model for model in catalog.models.values() if model.frontier]
    assert {route.provider for model in frontier for route in model.routes} == {"openrouter"}
    assert {model.reasoning for model in frontier} == {"forward"}


@pytest.mark.parametrize(("model_id", "voices"), [("bulbul:v3", 37), ("aura-2-en", 40), ("aura-2-es", 10)])
def test_a_speech_model_knows_its_voices(catalog: Catalog, model_id: str, voices: int) -> None:
    known = catalog.models[model_id].details["voices"]
    assert isinstance(known, tuple)
    assert len(set(known)) == voices


@pytest.mark.parametrize(
    ("plan_id", "caps", "rpm", "in_flight", "credits"),
    [
        ("free", (100, 50, 50, 50), 60, 8, (100, 100)),
        ("starter", (5_000, 2_500, 2_500, 500), 500, 33, (500, 550)),
        ("pro", (50_000, 25_000, 25_000, 5_000), 3_000, 200, (5_000, 6_000)),
        ("enterprise", (None, None, None, None), 10_000, 666, (20_000, 26_000)),
    ],
)
def test_a_plan_grants_what_its_column_says(
    catalog: Catalog,
    plan_id: str,
    caps: tuple[int | None, ...],
    rpm: int,
    in_flight: int,
    credits: tuple[int, int],
) -> None:
    plan = catalog.plans[plan_id]
    assert (plan.cap("llm"), plan.cap("stt"), plan.cap("tts"), plan.cap("image")) == caps
    assert plan.cap("embedding") is None
    assert (plan.rpm, plan.in_flight) == (rpm, in_flight)
    assert (plan.monthly_credits, plan.first_month_credits, plan.signup_bonus_credits) == (*credits, 1_000)


def test_every_id_the_seed_names_can_be_found(catalog: Catalog) -> None:
    named = {*VISION, *(model_id for model_id, _ in CONTEXT_ROWS), *OTHER_SEED_IDS}
    assert named <= catalog.models.keys()
