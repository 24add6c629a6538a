"""What a search may ask, and which providers may answer it in which order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.errors import Problem
from app.core.search import PROVIDERS, Search, choose, parse_search


def parsed(**fields: Any) -> Search:
    return parse_search(msgspec.json.encode({"query": "trio", **fields}))


def chosen(search: Search, *, configured: Any = PROVIDERS, allowed: Any = ("*",), default: str = "serper") -> list[str]:
    return choose(search, configured=configured, allowed=allowed, default=default)


def test_absent_fields_have_the_published_defaults() -> None:
    search = parsed()
    assert (search.mode, search.count, search.with_content, search.provider) == ("auto", 10, False, None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": " \n"}, "query"),
        ({"query": "x" * 2001}, "query"),
        ({"query": 7}, "query"),
        ({"mode": "longer"}, "mode"),
        ({"provider": "bing"}, "provider"),
        ({"num_results": 0}, "num_results"),
        ({"num_results": 51}, "num_results"),
        ({"num_results": "5"}, "num_results"),
        ({"include_domains": ["a.example evil"]}, "include_domains[0]"),
        ({"include_domains": "a.example"}, "include_domains"),
        ({"start_published_date": "2026-02-30"}, "start_published_date"),
        ({"start_published_date": "yesterday"}, "start_published_date"),
        ({"start_published_date": "2026-03-02", "end_published_date": "2026-03-01"}, "end_published_date"),
        ({"gl": "india"}, "gl"),
        ({"hl": "e"}, "hl"),
        ({"include_content": "yes"}, "include_content"),
    ],
)
def test_any_bad_field_is_an_invalid_request_that_names_it(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as raised:
        parsed(**fields)
    assert (raised.value.code, raised.value.param) == ("invalid_request_error", param)


def test_unknown_fields_are_ignored_and_told() -> None:
    assert parsed(safe=True).ignored == ("safe",)


@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({}, ["serper", "brave", "tavily"]),
        ({"mode": "shorter"}, ["serper", "brave", "tavily"]),
        ({"mode": "detailed"}, ["exa", "tavily", "serper"]),
        ({"provider": "google", "mode": "detailed"}, ["serper", "exa", "tavily"]),
        ({"provider": "SearXNG"}, ["searxng", "exa", "serper"]),
        ({"include_content": True}, ["exa", "tavily", "serper"]),
        ({"include_content": True, "provider": "brave"}, ["brave", "exa", "tavily"]),
    ],
)
def test_the_first_choice_follows_provider_then_content_then_mode(fields: dict[str, Any], order: list[str]) -> None:
    assert chosen(parsed(**fields)) == order


def test_auto_takes_the_installations_default() -> None:
    assert chosen(parsed(), default="tavily")[0] == "tavily"


def test_providers_without_credentials_are_skipped_but_a_named_one_is_missed() -> None:
    assert chosen(parsed(), configured=("tavily", "searxng")) == ["tavily", "searxng"]
    assert chosen(parsed(provider="exa"), configured=("tavily",)) == []


def test_a_key_limited_to_some_providers_never_falls_back_to_others() -> None:
    assert chosen(parsed(provider="exa"), allowed=("exa", "brave")) == ["exa", "brave"]
    assert chosen(parsed(), allowed=("google",)) == ["serper"]


@pytest.mark.parametrize("fields", [{"provider": "exa"}, {"mode": "detailed"}])
def test_a_first_choice_outside_the_keys_list_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Problem) as raised:
        chosen(parsed(**fields), allowed=("serper",))
    assert raised.value.code == "search_provider_not_allowed"
