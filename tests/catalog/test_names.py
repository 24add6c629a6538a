"""Names: ids, aliases, tails, bare Claude names, suffixes, in this order and whatever the case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from catalog.catalog import Catalog
from catalog.models import Model
from catalog.names import passthrough_id


def model_of(catalog: Catalog, name: str) -> str | None:
    resolved = catalog.resolve(name)
    return resolved.model.id if resolved else None


def extra(catalog: Catalog, model_id: str, *aliases: str) -> Model:
    return replace(catalog.models["openai/gpt-5.4"], id=model_id, aliases=aliases)


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("kimi-k2.6", "kimi-k2.6"),
        ("KIMI-K2.6", "kimi-k2.6"),
        ("OpenAI/GPT-5.4", "openai/gpt-5.4"),
        ("gpt-4.1", "openai/gpt-4.1"),
        ("gpt-4o", "openai/gpt-4o"),
        ("claude-opus-4-6", "anthropic/claude-opus-4.6"),
        ("claude-haiku-4.5", "anthropic/claude-haiku-4.5"),
        ("deepseek-v4-pro", "deepseek/deepseek-v4-pro"),
        ("DeepSeek-V4-Flash", "deepseek/deepseek-v4-flash"),
        ("grok-4.20", "x-ai/grok-4.20"),
        ("whisper-1", "whisper"),
        ("tts-1-hd", "gpt-4o-mini-tts"),
        ("openai-gpt-image-2", "nano-banana-pro"),
        ("saaras:v3", "saaras:v3"),
        ("auto", "auto"),
    ],
)
def test_a_name_finds_its_entry(catalog: Catalog, name: str, model_id: str) -> None:
    assert model_of(catalog, name) == model_id


@pytest.mark.parametrize(
    "name", ["", "gpt-6", "openai/", "/gpt-5.4", "kimi-k2.6:nitro", "anthropic/gpt-5.4", "claude-"]
)
def test_any_other_name_finds_nothing(catalog: Catalog, name: str) -> None:
    assert catalog.resolve(name) is None


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("openai/gpt-5.4:nitro", "throughput"),
        ("openai/gpt-5.4:floor", "price"),
        ("OPENAI/GPT-5.4:NITRO", "throughput"),
        ("openai/gpt-5.4", None),
    ],
)
def test_a_suffix_on_a_slash_id_asks_for_a_sort(catalog: Catalog, name: str, sort: str | None) -> None:
    resolved = catalog.resolve(name)
    assert resolved is not None
    assert (resolved.model.id, resolved.sort) == ("openai/gpt-5.4", sort)


def test_the_tail_of_one_slash_id_is_enough(catalog: Catalog) -> None:
    assert model_of(catalog.with_models([extra(catalog, "local/llama-9")]), "Llama-9") == "local/llama-9"


def test_the_tail_of_two_slash_ids_finds_nothing(catalog: Catalog) -> None:
    wider = catalog.with_models([extra(catalog, "local/llama-9"), extra(catalog, "meta/llama-9")])
    assert wider.resolve("llama-9") is None
    assert model_of(wider, "meta/llama-9") == "meta/llama-9"


def test_a_disabled_entry_does_not_make_a_tail_ambiguous(catalog: Catalog) -> None:
    wider = catalog.with_models([extra(catalog, "local/llama-9"), extra(catalog, "meta/llama-9")])
    assert model_of(wider.with_status({"meta/llama-9": "disabled"}), "llama-9") == "local/llama-9"


def test_an_id_goes_before_a_tail(catalog: Catalog) -> None:
    assert model_of(catalog.with_models([extra(catalog, "local/kimi-k2.5")]), "kimi-k2.5") == "kimi-k2.5"


def test_an_alias_goes_before_a_tail(catalog: Catalog) -> None:
    assert model_of(catalog.with_models([extra(catalog, "local/whisper-1")]), "whisper-1") == "whisper"


def test_a_bare_claude_name_is_anthropics_even_when_another_vendor_has_it_too(catalog: Catalog) -> None:
    wider = catalog.with_models([extra(catalog, "local/claude-9"), extra(catalog, "anthropic/claude-9")])
    assert model_of(wider, "Claude-9") == "anthropic/claude-9"


@pytest.mark.parametrize(
    ("name", "outside"),
    [
        ("Meta/Llama-9:nitro", "meta/llama-9"),
        ("meta/llama-9:free", "meta/llama-9:free"),
        ("claude-9", "anthropic/claude-9"),
        ("llama-9", None),
    ],
)
def test_an_unknown_slash_id_may_be_known_upstream(name: str, outside: str | None) -> None:
    assert passthrough_id(name) == outside
