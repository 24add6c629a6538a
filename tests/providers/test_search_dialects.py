"""Each search provider's requests and answers, as its part of wire/search.md has them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from app.core.search import Search, parse_search
from app.providers.search.backend import Backend
from app.providers.search.brave import Brave, shortened
from app.providers.search.cleaning import Malformed, clean, iso_date
from app.providers.search.exa import Exa
from app.providers.search.searxng import SearXNG
from app.providers.search.serper import Serper
from app.providers.search.tavily import Tavily

DAY = "2026-04-10T00:00:00.000Z"
BACKENDS: tuple[Backend, ...] = (Serper("k"), Exa("k"), Tavily("k"), Brave("k"), SearXNG())
FULL: dict[str, Any] = {
    "num_results": 30,
    "include_domains": ["a.example", "b.example"],
    "exclude_domains": ["c.example"],
    "start_published_date": "2026-01-02",
    "end_published_date": "2026-03-04",
    "include_content": True,
    "gl": "IN",
    "hl": "en",
}


def search(**fields: Any) -> Search:
    return parse_search(msgspec.json.encode({"query": "trio", **fields}))


def asked(backend: Backend, **fields: Any) -> tuple[str, dict[str, Any]]:
    """The path, and what is asked in body or query."""
    outgoing = backend.ask(search(**fields))
    if outgoing.body:
        return outgoing.path, msgspec.json.decode(outgoing.body)
    parts = urlsplit(outgoing.path)
    return parts.path, dict(parse_qsl(parts.query))


SITES = "trio (site:a.example OR site:b.example) -site:c.example"


def test_serper_is_asked_with_sites_and_a_range_of_days() -> None:
    assert asked(Serper("k"), **FULL) == (
        "/search",
        {"q": SITES, "num": 30, "gl": "in", "hl": "en", "tbs": "cdr:1,cd_min:1/2/2026,cd_max:3/4/2026"},
    )
    assert asked(Serper("k"), search_type="news", tbs="qdr:d") == ("/news", {"q": "trio", "num": 10, "tbs": "qdr:d"})


def test_exa_is_asked_with_its_own_filters() -> None:
    assert asked(Exa("k"), **FULL) == (
        "/search",
        {
            "query": "trio",
            "type": "auto",
            "numResults": 30,
            "includeDomains": ["a.example", "b.example"],
            "startPublishedDate": "2026-01-02T00:00:00.000Z",
            "endPublishedDate": "2026-03-04T23:59:59.999Z",
            "userLocation": "IN",
            "contents": {"highlights": True, "text": True},
        },
    )
    assert asked(Exa("k"), search_type="deep")[1]["type"] == "deep"


def test_tavily_is_asked_for_at_most_twenty() -> None:
    assert asked(Tavily("k"), mode="detailed", tbs="qdr:w", **FULL) == (
        "/search",
        {
            "query": "trio",
            "search_depth": "advanced",
            "max_results": 20,
            "include_domains": ["a.example", "b.example"],
            "exclude_domains": ["c.example"],
            "start_date": "2026-01-02",
            "end_date": "2026-03-04",
            "include_answer": True,
            "include_raw_content": True,
            "country": "india",
            "time_range": "week",
        },
    )


def test_brave_is_asked_in_the_query() -> None:
    assert asked(Brave("k"), **FULL) == (
        "/res/v1/web/search",
        {
            "q": SITES,
            "count": "20",
            "country": "IN",
            "search_lang": "en",
            "freshness": "2026-01-02to2026-03-04",
            "text_decorations": "false",
            "spellcheck": "1",
        },
    )
    assert asked(Brave("k"), search_type="news", tbs="qdr:m")[1]["freshness"] == "pm"


def test_a_query_for_brave_is_cut_at_a_word() -> None:
    assert len(shortened("word " * 60).split()) == 50
    assert shortened("a" * 300 + " " + "b" * 200) == "a" * 300


def test_searxng_is_asked_for_json() -> None:
    assert asked(SearXNG(), search_type="news", hl="de", tbs="qdr:y") == (
        "/search",
        {"q": "trio", "format": "json", "categories": "news", "language": "de", "time_range": "year"},
    )


@pytest.mark.parametrize(
    ("backend", "name"), [(Serper("k"), b"x-api-key"), (Exa("k"), b"x-api-key"), (Brave("k"), b"x-subscription-token")]
)
def test_the_key_goes_into_a_header(backend: Backend, name: bytes) -> None:
    assert dict(backend.ask(search()).headers)[name] == b"k"


SERPER = {
    "organic": [
        {"title": "A <b>b</b>", "link": "https://a.example/x", "snippet": "c &amp; d", "date": "Apr 10, 2026"},
        {"title": "no address", "snippet": "x"},
        {"title": "old", "link": "https://b.example/", "snippet": "", "date": "2 days ago"},
    ],
    "answerBox": {"snippet": "short <i>answer</i>"},
}
EXA = {
    "results": [
        {"url": "https://a.example/x", "title": "A", "score": 0.3, "publishedDate": DAY, "text": "T" * 400},
        {"url": "https://b.example/", "title": None, "highlights": ["h"], "summary": "s"},
        {"url": "https://www.c.example/", "title": "excluded"},
    ]
}
TAVILY = {
    "answer": "42",
    "results": [
        {
            **{"title": "A", "url": "https://a.example/x", "content": "c", "score": 1, "raw_content": "whole"},
            "published_date": "Fri, 10 Apr 2026 00:00:00 GMT",
        }
    ],
}
BRAVE = {
    "web": {
        "results": [
            {
                "title": "A",
                "url": "https://a.example/x",
                "description": "<strong>c</strong>",
                "page_age": "2026-04-10T00:00:00",
            }
        ]
    }
}
SEARXNG = {
    "results": [{"title": "A", "url": "https://a.example/x", "content": "c", "publishedDate": DAY}],
    "answers": ["42"],
}


@pytest.mark.parametrize(
    ("backend", "body", "row", "answer"),
    [
        (Serper("k"), SERPER, ("A b", "c & d", None, None), "short answer"),
        (Exa("k"), EXA, ("A", "T" * 300, "T" * 400, 0.3), None),
        (Tavily("k"), TAVILY, ("A", "c", "whole", 1.0), "42"),
        (Brave("k"), BRAVE, ("A", "c", None, None), None),
        (SearXNG(), SEARXNG, ("A", "c", None, None), "42"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_answer_is_brought_into_one_form(
    backend: Backend, body: Any, row: tuple[Any, ...], answer: str | None
) -> None:
    found = backend.found(body, search(include_content=True, exclude_domains=["c.example"]))
    first = found.results[0]
    assert (first.title, first.snippet, first.content, first.score) == row
    assert (first.url, first.source, first.published_date) == ("https://a.example/x", "a.example", DAY)
    assert found.answer == answer


def test_rows_without_an_address_are_left_out() -> None:
    assert [each.title for each in Serper("k").found(SERPER, search()).results] == ["A b", "old"]


def test_exa_includes_and_excludes_at_once() -> None:
    wanted = search(include_domains=["a.example", "b.example", "c.example"], exclude_domains=["c.example"])
    assert [each.source for each in Exa("k").found(EXA, wanted).results] == ["a.example", "b.example"]


def test_page_text_is_given_only_when_asked_for() -> None:
    assert Exa("k").found(EXA, search()).results[0].content is None
    assert Tavily("k").found(TAVILY, search()).results[0].content is None


def test_at_most_as_many_rows_as_asked_for() -> None:
    assert len(Serper("k").found(SERPER, search(num_results=1)).results) == 1


def test_pictures_are_told_with_their_pages() -> None:
    body = {"images": [{"title": "A", "imageUrl": "https://i.example/a.jpg", "link": "https://a.example/"}]}
    found = Serper("k").found(body, search(search_type="images"))
    assert found.results[0].url == "https://i.example/a.jpg"
    assert found.images == ({"title": "A", "url": "https://i.example/a.jpg", "page_url": "https://a.example/"},)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("body", [{}, {"organic": None, "results": "x", "web": []}])
def test_an_answer_without_its_list_is_a_bad_one(backend: Backend, body: Any) -> None:
    with pytest.raises(Malformed):
        backend.found(body, search())


@pytest.mark.parametrize(
    "body",
    [{"organic": [], "results": [], "web": {"results": []}}, {"organic": [7], "results": [7], "web": {"results": [7]}}],
)
@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_an_empty_list_is_an_answer(backend: Backend, body: Any) -> None:
    assert backend.found(body, search()).results == ()


def test_searxng_without_a_single_engine_is_a_failure() -> None:
    with pytest.raises(Malformed):
        SearXNG().found({"results": [], "unresponsive_engines": [["a", "timeout"]]}, search())


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-04-10", DAY),
        ("2026-04-10T05:30:00+05:30", DAY),
        ("10 April 2026", DAY),
        ("2 days ago", None),
        ("", None),
        (None, None),
        (5, None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_dates_of_any_form_become_one(text: object, date: str | None) -> None:
    assert iso_date(text) == date


def test_text_is_cleaned_of_tags_but_not_of_meaning() -> None:
    assert clean("if a < b &amp;&amp; c > d: <b>yes</b>\n<br/>no") == "if a < b && c > d: yes no"
