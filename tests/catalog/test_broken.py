"""Broken catalogs: each fault is named with its table, entry and key, and with what to write instead."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog.catalog import PACKAGE, Catalog
from catalog.documents import CatalogError, Fault
from tests.catalog.documents import Documents


def faults_of(documents: Documents) -> list[Fault]:
    with pytest.raises(CatalogError) as caught:
        documents.build()
    return list(caught.value.faults)


def put(table: str, entry: str, key: str, value: Any) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        getattr(documents, table)[entry][key] = value

    return change


def drop(table: str, entry: str, key: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        del getattr(documents, table)[entry][key]

    return change


def rate(key: str, value: Any) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        documents.rates[key] = value

    return change


def add(values: Any) -> Callable[[Documents], None]:
    return lambda documents: documents.more.append(values)


def price(**figures: Any) -> Callable[[Documents], None]:
    return put("models", "glm-5.2", "price", figures)


BROKEN: list[tuple[Callable[[Documents], None], str]] = [
    # Names
    (put("models", "glm-5.2", "id", "GLM-4.7-Flash"), "models: GLM-4.7-Flash: id: is there twice"),
    (put("models", "glm-5.2", "id", "glm 5"), "models: glm 5: id: is 'glm 5'; write letters, digits"),
    (drop("models", "glm-5.2", "id"), 'models: entry 8: id: is missing; write id = "'),
    (
        put("models", "whisper", "aliases", ["gpt-4.1"]),
        "models: whisper: aliases: 'gpt-4.1' is an alias of openai/gpt-4.1",
    ),
    (put("models", "whisper", "aliases", ["Nova-3"]), "models: whisper: aliases: 'Nova-3' is the id of nova-3"),
    (put("models", "glm-5.2", "aliases", "glm"), "models: glm-5.2: aliases: is 'glm'; write a list of strings"),
    # Keys and kinds
    (
        put("models", "glm-5.2", "colour", "red"),
        "models: glm-5.2: colour: is not a known key; remove it or write one of id,",
    ),
    (put("models", "glm-5.2", "free", "yes"), "models: glm-5.2: free: is 'yes'; write true or false"),
    (put("models", "glm-5.2", "category", "chat"), "models: glm-5.2: category: is 'chat'; write one of llm, stt"),
    (put("models", "glm-5.2", "status", "off"), "models: glm-5.2: status: is 'off'; write one of active, maintenance"),
    (put("models", "glm-5.2", "supports", ["sight"]), "models: glm-5.2: supports: holds 'sight'; write any of vision,"),
    (drop("models", "glm-5.2", "context_window"), "models: glm-5.2: context_window: is missing; write a whole number"),
    (
        put("models", "glm-5.2", "context_window", True),
        "models: glm-5.2: context_window: is True; write a whole number",
    ),
    (drop("models", "glm-5.2", "description"), "models: glm-5.2: description: is missing; write description ="),
    (put("models", "glm-5.2", "owner", 7), "models: glm-5.2: owner: is 7; write a string"),
    (add("glm"), "models: entry 73: -: is 'glm'; write a table of keys and values"),
    # Reasoning and status
    (put("models", "glm-5.2", "reasoning", "off"), "models: glm-5.2: reasoning: is 'off'; write one of off-able,"),
    (drop("models", "glm-5.2", "reasoning"), "models: glm-5.2: reasoning: is missing; write one of off-able,"),
    (put("models", "nova-3", "reasoning", "drop"), "models: nova-3: reasoning: belongs to chat models only"),
    (put("models", "nova-3", "status", "voice_only"), "models: nova-3: status: is voice_only on an entry of stt"),
    # Prices
    (drop("models", "glm-5.2", "price"), "models: glm-5.2: price: is missing; write price = {"),
    (price(unit="tokens", input="-1", output="1"), "models: glm-5.2: price.input: is negative (-1); write 0 or more"),
    (price(unit="tokens", input="1"), "models: glm-5.2: price.output: is missing; write output ="),
    (price(unit="tokens", input=0.1, output="1"), "models: glm-5.2: price.input: is 0.1; write a decimal as a string"),
    (
        price(unit="tokens", input=True, output="1"),
        "models: glm-5.2: price.input: is True; write a decimal as a string",
    ),
    (price(unit="tokens", input="NaN", output="1"), "models: glm-5.2: price.input: is 'NaN'; write a decimal"),
    (price(unit="tokens", input="one", output="1"), "models: glm-5.2: price.input: is 'one'; write a decimal"),
    (price(unit="tokens", input="0.0000001", output="1"), "models: glm-5.2: price.input: has more than six decimals"),
    (price(unit="hour", each="1"), "models: glm-5.2: price.unit: is 'hour'; write one of tokens, by_pick"),
    (price(unit="by_pick", input="1"), "models: glm-5.2: price.input: is not a known key"),
    (price(unit="tokens", input="1", output="1", minute="1"), "models: glm-5.2: price.minute: belongs to voice_only"),
    # Routes
    (drop("models", "glm-5.2", "routes"), "models: glm-5.2: routes: is empty; write a route, or status"),
    (
        put("models", "glm-5.2", "routes", [{"provider": "acme", "upstream": "x"}]),
        "models: glm-5.2: routes[0].provider: is 'acme'; write one of sarvam, cloudflare",
    ),
    (
        put("models", "glm-5.2", "routes", [{"provider": "local"}]),
        "models: glm-5.2: routes[0].upstream: is missing; write upstream =",
    ),
    (
        put("models", "glm-5.2", "routes", [{"provider": "local", "upstream": "x", "url": "y"}]),
        "models: glm-5.2: routes[0].url: is not a known key; remove it or write one of provider, upstream, options",
    ),
    (
        put("models", "glm-5.2", "routes", [{"provider": "local", "upstream": "x", "options": {"a": {1}}}]),
        "models: glm-5.2: routes[0].options: holds what JSON cannot",
    ),
    (put("models", "glm-5.2", "routes", {}), "models: glm-5.2: routes: is {}; write a list of tables"),
    # Fallbacks
    (put("models", "glm-5.2", "fallback", "glm-9"), "models: glm-5.2: fallback: 'glm-9' is not in the catalog"),
    (put("models", "glm-5.2", "fallback", "glm-5.2"), "models: glm-5.2: fallback: is the entry itself"),
    (put("models", "glm-5.2", "fallback", "nova-3"), "models: glm-5.2: fallback: nova-3 is stt and active; write"),
    (
        put("models", "phoenix-1.0", "fallback", "flux-1.1-pro"),
        "models: phoenix-1.0: fallback: flux-1.1-pro is image and disa",
    ),
    # Details
    (put("models", "melotts", "details", {}), "models: melotts: details.voices: is empty; write a list"),
    (
        put("models", "melotts", "details", {"voices": ["a"], "default_voice": "b"}),
        "models: melotts: details.default_voice: is 'b'; write one of voices, such as 'a'",
    ),
    (
        put("models", "bge-m3", "details", {"dimensions": "many"}),
        "models: bge-m3: details.dimensions: is 'many'; write a whole number",
    ),
    (put("models", "glm-5.2", "details", {"voices": ["a"]}), "models: glm-5.2: details.voices: is not a known key"),
    # Rates
    (rate("default_model", "glm-9"), "rates: rates: default_model: 'glm-9' is not in the catalog"),
    (rate("default_model", "nova-sonic"), "rates: rates: default_model: nova-sonic is llm and voice_only; write"),
    (rate("default_stt_model", "melotts"), "rates: rates: default_stt_model: melotts is tts and active; write"),
    (rate("credits_per_usd", "100"), "rates: rates: credits_per_usd: is '100'; write a whole number of at least 1"),
    (rate("passthrough_markup", "-1"), "rates: rates: passthrough_markup: is negative (-1)"),
    (rate("by_pick_hold", {"unit": "by_pick"}), "rates: rates: by_pick_hold.unit: is 'by_pick'; write one of tokens"),
    (rate("vat", 1), "rates: rates: vat: is not a known key"),
    # Plans
    (put("models", "whisper", "free", True), "plans: free: models: whisper has free = true, but is not listed"),
    (put("models", "glm-5.2", "free", False), "plans: free: models: glm-5.2 is listed, but its entry has free = false"),
    (put("plans", "free", "models", ["glm-9"]), "plans: free: models: 'glm-9' is not in the catalog"),
    (put("plans", "pro", "models", []), 'plans: pro: models: is missing or empty; write "all" or a list of ids'),
    (
        put("plans", "pro", "caps", {"llm": 1}),
        'plans: pro: caps.stt: is missing; write a whole number of at least 0, or "un',
    ),
    (
        put("plans", "pro", "members", -1),
        'plans: pro: members: is -1; write a whole number of at least 0, or "unlimited"',
    ),
    (put("plans", "pro", "rpm", 0), "plans: pro: rpm: is 0; write a whole number of at least 1"),
    (put("plans", "pro", "colour", "red"), "plans: pro: colour: is not a known key"),
]


@pytest.mark.parametrize(("breaks", "fault"), BROKEN, ids=[fault[:60] for _, fault in BROKEN])
def test_a_broken_catalog_says_where_and_what_to_write(
    documents: Documents, breaks: Callable[[Documents], None], fault: str
) -> None:
    breaks(documents)
    assert any(str(each).startswith(fault) for each in faults_of(documents))


def test_all_faults_are_told_at_once(documents: Documents) -> None:
    del documents.models["glm-5.2"]["price"]
    documents.models["nova-3"]["routes"] = [{"provider": "acme", "upstream": "x"}]
    documents.rates["default_model"] = "glm-9"
    documents.plans["pro"]["rpm"] = "fast"
    places = [(fault.entry, fault.key) for fault in faults_of(documents)]
    assert sorted(places) == [
        ("glm-5.2", "price"),
        ("nova-3", "routes[0].provider"),
        ("pro", "rpm"),
        ("rates", "default_model"),
    ]


def test_a_faulty_entry_is_not_also_called_missing_by_those_who_name_it(documents: Documents) -> None:
    documents.models["kimi-k2.5"]["context_window"] = None
    assert faults_of(documents) == [
        Fault("models", "kimi-k2.5", "context_window", "is missing; write a whole number of at least 1")
    ]


def test_a_catalog_without_plans_is_refused(documents: Documents) -> None:
    documents.plans = {}
    assert faults_of(documents) == [Fault("plans", "-", "-", "holds no plan; write at least [free]")]


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    shutil.copy(PACKAGE / "plans.toml", tmp_path)
    (tmp_path / "rates.toml").write_text("credits_per_usd =")
    with pytest.raises(CatalogError) as caught:
        Catalog.load(tmp_path)
    missing, broken = map(str, caught.value.faults)
    assert missing == "models.toml: -: -: is missing; put it next to the other catalog files"
    assert broken.startswith("rates.toml: -: -: is not valid TOML; correct it: ")


def test_a_fault_in_a_file_names_the_file(tmp_path: Path) -> None:
    for name in ("models.toml", "plans.toml", "rates.toml"):
        text = (PACKAGE / name).read_text()
        (tmp_path / name).write_text(text.replace('input = "0.81"', 'input = "-0.81"', 1))
    with pytest.raises(CatalogError, match=r"models\.toml: kimi-k2\.5: price\.input: is negative \(-0\.81\)"):
        Catalog.load(tmp_path)


def test_a_stray_table_in_the_model_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "models.toml").open("a") as file:
        file.write('\n[[models]]\nid = "x"\n')
    with pytest.raises(CatalogError, match=r"models\.toml: -: models: is not a known key; .* one of model"):
        Catalog.load(tmp_path)
