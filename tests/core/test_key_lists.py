"""The lists of a key: what may stand in each, how it is kept, and what is refused with what to write instead."""

from __future__ import annotations

import pytest

from app.core import key_lists
from app.core.errors import Problem
from catalog.catalog import Catalog


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def refusal(read: object, text: str, *rest: object) -> Problem:
    assert callable(read)
    with pytest.raises(Problem) as caught:
        read(text, *rest)
    assert caught.value.code == "invalid_value"
    return caught.value


@pytest.mark.parametrize(
    ("text", "kept"),
    [("llm", "llm"), (" llm , tts,", "llm,tts"), ("tts,llm,tts", "tts,llm"), ("*", "*"), ("llm,*", "*"), (" , ", "")],
)
def test_a_list_is_kept_without_blanks_and_doubles_and_all_is_all(text: str, kept: str) -> None:
    assert key_lists.read_permissions(text) == kept


@pytest.mark.parametrize("text", ["llm,sttt", "LLM", "llm tts", "admin", "llm;tts", "\x00"])
def test_an_unknown_permission_is_named_with_those_there_are(text: str) -> None:
    problem = refusal(key_lists.read_permissions, text)
    assert problem.param == "permissions"
    assert "llm, stt, tts, search, image" in problem.message


def test_scopes_are_those_of_the_contract() -> None:
    assert key_lists.read_scopes("usage:read,whatsapp:send") == "usage:read,whatsapp:send"
    assert key_lists.read_scopes("") == ""
    assert refusal(key_lists.read_scopes, "bots:delete").param == "scopes"


@pytest.mark.parametrize(
    "domain",
    [
        *("shop.example", "localhost", "127.0.0.1", "xn--bcher-kva.example", "a-b.c-d.example"),
        *("https://shop.example", "http://localhost:3000", "https://[::1]:8443", "https://shop.example:8443"),
    ],
)
def test_hosts_and_origins_are_domains(domain: str) -> None:
    assert key_lists.read_domains(domain.upper()) == domain


@pytest.mark.parametrize(
    "domain",
    [
        *(
            "*.shop.example",
            "shop.example:3000",
            "https://shop.example/",
            "https://shop.example/path",
            "ftp://a.example",
        ),
        *("https://", "bücher.example", "-a.example", "a..example", "https://u:p@a.example", "shop example", "a_b"),
    ],
)
def test_what_no_browser_sends_as_its_origin_is_no_domain(domain: str) -> None:
    assert "https://shop.example:8443" in refusal(key_lists.read_domains, domain).message


def test_models_are_ids_aliases_and_slash_ids(catalog: Catalog) -> None:
    names = "kimi-k2.6,gpt-5.4-mini,openai/gpt-5.4,local/llama3:8b,some-vendor/model_1:free,claude-sonnet-4.6"
    assert key_lists.read_models(names, catalog) == names


@pytest.mark.parametrize("name", ["kimi-9", "a/b c", "a/", "/", "exa", "openai/\ngpt", "modèle/x"])
def test_what_no_call_can_name_is_no_model(name: str, catalog: Catalog) -> None:
    assert refusal(key_lists.read_models, name, catalog).param == "allowed_models"


def test_a_model_that_is_switched_off_cannot_be_allowed_but_one_under_maintenance_can(catalog: Catalog) -> None:
    changed = catalog.with_status({"kimi-k2.6": "maintenance", "glm-5.2": "disabled"})
    assert key_lists.read_models("kimi-k2.6", changed) == "kimi-k2.6"
    assert refusal(key_lists.read_models, "glm-5.2", changed).param == "allowed_models"


def test_a_list_of_where_a_key_may_be_used_is_never_empty(catalog: Catalog) -> None:
    for problem in (
        refusal(key_lists.read_domains, ""),
        refusal(key_lists.read_models, " ,", catalog),
        refusal(key_lists.read_search_providers, ""),
    ):
        assert "is empty" in problem.message


def test_a_long_word_is_not_repeated_whole() -> None:
    assert len(refusal(key_lists.read_search_providers, "x" * 3000).message) < 200
