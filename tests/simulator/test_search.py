"""The search providers: each has its own shape, and all of them find the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.asking import Json, ask_surface, body_of

#: Where each lists what it found.
ASKED: dict[str, tuple[str, Json | bytes, tuple[str, ...]]] = {
    "serper": ("/serper/search", {"q": "trio", "num": 3}, ("organic",)),
    "serper news": ("/serper/news", {"q": "trio", "num": 3}, ("news",)),
    "serper images": ("/serper/images", {"q": "trio", "num": 3}, ("images",)),
    "exa": ("/exa/search", {"query": "trio", "numResults": 3}, ("results",)),
    "tavily": ("/tavily/search", {"query": "trio", "max_results": 3}, ("results",)),
    "brave": ("/brave/res/v1/web/search?q=trio&count=3", b"", ("web", "results")),
    "brave news": ("/brave/res/v1/news/search?q=trio&count=3", b"", ("results",)),
}


def found(target: str, body: Json | bytes, *path: str) -> list[Any]:
    answer: Any = body_of(ask_surface(target, body)[0])
    for name in path:
        answer = answer[name]
    return list(answer)


@pytest.mark.parametrize("name", ASKED)
def test_as_many_results_come_as_were_asked_for(name: str) -> None:
    target, body, path = ASKED[name]
    titles = [row["title"] for row in found(target, body, *path)]
    assert titles == [f"Result <b>{n}</b> &amp; more" for n in (1, 2, 3)]


@pytest.mark.parametrize("name", ASKED)
def test_nothing_found_is_an_empty_list_in_the_same_place(name: str) -> None:
    target, body, path = ASKED[name]
    cue = "[mock=empty_answer]"
    asked = {key: cue if value == "trio" else value for key, value in body.items()} if isinstance(body, dict) else body
    assert found(target.replace("trio", cue), asked, *path) == []


def test_no_more_than_ten_are_found() -> None:
    assert len(found("/exa/search", {"query": "trio", "numResults": 99}, "results")) == 10


def test_the_text_of_the_pages_comes_when_it_is_wanted() -> None:
    exa = found("/exa/search", {"query": "trio", "contents": {"text": True, "highlights": True}}, "results")[0]
    assert (exa["text"], exa["highlights"]) == ("The whole page. About it, 1.", ["About it, 1."])
    tavily = found("/tavily/search", {"query": "trio", "include_raw_content": True}, "results")[0]
    assert tavily["raw_content"] == "The whole page. About it, 1."


def test_searxng_answers_in_json_only_and_names_engines_that_did_not_respond() -> None:
    assert ask_surface("/searxng/search?q=trio")[0].status == 403
    good = body_of(ask_surface("/searxng/search?q=trio&format=json")[0])
    bad = body_of(ask_surface("/searxng/search?q=%5Bmock%3Dempty_answer%5D&format=json")[0])
    assert (len(good["results"]), good["unresponsive_engines"]) == (10, [])
    assert (bad["results"], bad["unresponsive_engines"]) == ([], [["simulated", "timeout"]])


@pytest.mark.parametrize("target", ["/serper/search", "/exa/search", "/tavily/search"])
@pytest.mark.parametrize("body", [b"{", b"[]"])
def test_what_is_no_json_object_is_refused(target: str, body: bytes) -> None:
    assert ask_surface(target, body)[0].status in (400, 422)
