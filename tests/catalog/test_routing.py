"""Who may use which model, what serves when none was named, and in which order it is tried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from catalog.catalog import Catalog, Resolved
from catalog.models import Model, Status
from catalog.routing import MAX_FALLBACKS, Refusal, Terms, allowed_ids, candidates, refusal, select, targets


@pytest.fixture
def free(catalog: Catalog) -> Terms:
    return Terms(catalog.plans["free"])


@pytest.fixture
def paid(catalog: Catalog) -> Terms:
    return Terms(catalog.plans["pro"])


def ids(found: tuple[Model, ...]) -> list[str]:
    return [model.id for model in found]


def served(found: Resolved | Refusal) -> str:
    return found.model.id if isinstance(found, Resolved) else f"{found.code} {found.model}"


# One model


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("kimi-k2.6", "kimi-k2.6"),
        ("gpt-4.1", "openai/gpt-4.1"),
        ("gpt-9", "model_not_found gpt-9"),
        ("nano-banana-pro", "model_not_found nano-banana-pro"),
        ("bulbul:v3", "model_not_found bulbul:v3"),
        ("search:exa", "model_not_found search:exa"),
        ("nova-sonic", "voice_agent_only_model nova-sonic"),
    ],
)
def test_a_named_model_serves_or_says_why_not(catalog: Catalog, paid: Terms, name: str, answer: str) -> None:
    assert served(select(catalog, name, paid)) == answer


def test_a_suffix_survives_the_choice(catalog: Catalog, paid: Terms) -> None:
    assert select(catalog, "openai/gpt-5.4:floor", paid) == Resolved(catalog.models["openai/gpt-5.4"], "price")


def test_an_audio_id_serves_its_own_endpoint(catalog: Catalog, free: Terms) -> None:
    assert served(select(catalog, "bulbul:v3", replace(free, category="tts"))) == "bulbul:v3"


def test_the_free_plan_is_refused_a_paid_model_with_what_could_serve(catalog: Catalog, free: Terms) -> None:
    assert select(catalog, "kimi-k2.5-fast", free) == Refusal("model_not_available", "kimi-k2.5-fast", "kimi-k2.5")


def test_the_free_plan_may_embed(catalog: Catalog, free: Terms) -> None:
    assert refusal(catalog.models["text-embedding-3-small"], replace(free, category="embedding")) is None


def test_a_key_is_refused_models_outside_its_list(catalog: Catalog, paid: Terms) -> None:
    only_glm = replace(paid, allowed_models=frozenset({"glm-5.2"}))
    assert served(select(catalog, "kimi-k2.6", only_glm)) == "model_not_allowed kimi-k2.6"
    assert served(select(catalog, "GLM-5.2", only_glm)) == "glm-5.2"


def test_images_are_refused_where_the_flag_that_is_listed_says_no(catalog: Catalog, paid: Terms) -> None:
    seeing = replace(paid, needs_vision=True)
    refused = {model.id for model in catalog.listed if model.category == "llm" and refusal(model, seeing)}
    assert refused == {model.id for model in catalog.listed if model.category == "llm" and not model.supports_vision}
    assert served(select(catalog, "glm-5.2", seeing)) == "unsupported_image_input glm-5.2"


def test_a_model_in_maintenance_names_its_fallback(catalog: Catalog, paid: Terms) -> None:
    resting = replace(catalog.default_model, status="maintenance")
    assert refusal(resting, paid) == Refusal("model_under_maintenance", "kimi-k2.5-fast", "kimi-k2.5")


def test_the_checks_answer_in_the_order_of_the_contract(catalog: Catalog, free: Terms) -> None:
    wrong = replace(catalog.models["openai/gpt-5.4"], status="disabled", supports_vision=False)
    terms = replace(free, allowed_models=frozenset(), needs_vision=True)
    codes = []
    for model, each in [
        (wrong, terms),
        (replace(wrong, status="maintenance"), terms),
        (replace(wrong, status="maintenance"), replace(terms, allowed_models=None)),
        (replace(wrong, status="maintenance", free=True), replace(terms, allowed_models=None)),
        (replace(wrong, status="voice_only", free=True), replace(terms, allowed_models=None)),
        (replace(wrong, status="voice_only", free=True), free),
    ]:
        refused = refusal(model, each)
        codes.append(refused and refused.code)
    assert codes == [
        "model_not_found",
        "model_not_allowed",
        "model_not_available",
        "model_under_maintenance",
        "unsupported_image_input",
        "voice_agent_only_model",
    ]


# No model named


def test_no_name_means_the_default_fast_tier(catalog: Catalog, paid: Terms) -> None:
    assert served(select(catalog, None, paid)) == "kimi-k2.5-fast"


def test_no_name_on_the_free_plan_means_the_fallback(catalog: Catalog, free: Terms) -> None:
    assert served(select(catalog, None, free)) == "kimi-k2.5"


@pytest.mark.parametrize("status", ["maintenance", "disabled"])
def test_no_name_while_the_default_is_down_means_the_fallback(catalog: Catalog, paid: Terms, status: Status) -> None:
    assert served(select(catalog.with_status({"kimi-k2.5-fast": status}), None, paid)) == "kimi-k2.5"


def test_no_name_with_a_key_that_excludes_the_default_means_the_fallback(catalog: Catalog, paid: Terms) -> None:
    key = replace(paid, allowed_models=frozenset({"kimi-k2.5"}))
    assert served(select(catalog, None, key)) == "kimi-k2.5"


def test_no_name_where_the_fallback_is_closed_too_is_refused(catalog: Catalog, paid: Terms) -> None:
    key = replace(paid, allowed_models=frozenset({"glm-5.2"}))
    assert served(select(catalog, None, key)) == "model_not_allowed kimi-k2.5"


def test_an_image_for_the_default_is_refused_not_rerouted(catalog: Catalog, paid: Terms) -> None:
    assert served(select(catalog, None, replace(paid, needs_vision=True))) == "unsupported_image_input kimi-k2.5-fast"


# The `models` list


def test_the_list_is_tried_in_order_and_duplicates_collapse(catalog: Catalog, paid: Terms) -> None:
    first = catalog.models["openai/gpt-5.4"]
    names = ["gpt-5.4-mini", "OPENAI/gpt-5.4", "glm-5.2", "openai/gpt-5.4-mini:nitro"]
    assert ids(candidates(catalog, first, names, paid)) == ["openai/gpt-5.4", "openai/gpt-5.4-mini", "glm-5.2"]


def test_what_may_not_serve_is_skipped(catalog: Catalog, free: Terms) -> None:
    first = catalog.models["kimi-k2.6"]
    names = ["gpt-9", "nova-sonic", "nano-banana-pro", "openai/gpt-5.4", "glm-5.2", "kimi-k2.5"]
    assert ids(candidates(catalog, first, names, replace(free, needs_vision=True))) == ["kimi-k2.6", "kimi-k2.5"]


def test_the_named_model_is_never_skipped(catalog: Catalog, free: Terms) -> None:
    first = catalog.models["openai/gpt-5.4"]
    assert ids(candidates(catalog, first, ["glm-5.2"], free)) == ["openai/gpt-5.4", "glm-5.2"]


def test_a_list_is_looked_at_up_to_its_bound(catalog: Catalog, paid: Terms) -> None:
    first = catalog.models["kimi-k2.6"]
    assert ids(candidates(catalog, first, ["gpt-9"] * (MAX_FALLBACKS - 1) + ["glm-5.2"], paid))[1:] == ["glm-5.2"]
    assert ids(candidates(catalog, first, ["gpt-9"] * MAX_FALLBACKS + ["glm-5.2"], paid))[1:] == []


# Providers


def test_routes_are_tried_in_catalog_order(catalog: Catalog) -> None:
    found = targets(catalog.default_model, available=lambda _: True)
    assert [(target.provider, target.upstream) for target in found] == [
        ("fast", "moonshotai/Kimi-K2_5"),
        ("cloudflare", "@cf/moonshotai/kimi-k2.5"),
    ]
    assert {target.model.id for target in found} == {"kimi-k2.5-fast"}


def test_a_provider_that_is_not_available_is_left_out(catalog: Catalog) -> None:
    found = targets(catalog.default_model, available=lambda provider: provider != "fast")
    assert [target.provider for target in found] == ["cloudflare"]
    assert targets(catalog.models["sarvam-30b"], available=lambda _: False) == ()


def test_a_target_carries_its_routes_options(catalog: Catalog) -> None:
    (target,) = targets(catalog.models["flux-2-dev"], available=lambda _: True)
    assert target.options == {"request": "multipart", "reply": "base64", "steps": 50}


# Keys limited to some models


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ("*", None),
        ("glm-5.2, *", None),
        ("GLM-5.2,gpt-4.1, ", {"glm-5.2", "openai/gpt-4.1"}),
        ("meta/Llama-9,gpt-9", {"meta/llama-9"}),
        ("", set()),
    ],
)
def test_a_keys_list_is_read_as_ids(catalog: Catalog, names: str, allowed: set[str] | None) -> None:
    assert allowed_ids(catalog, names) == allowed
