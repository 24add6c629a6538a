"""The five search providers' answers: a few results about any question (wire/search.md sections 4 to 8)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scripts.simulator.chat import Asked, refusal
from scripts.simulator.script import Script
from scripts.simulator.unary import answer_whole, json_body

MOST: Final = 10
_DAY: Final = "2026-04-10T00:00:00.000Z"


def _found(count: int) -> list[dict[str, str]]:
    return [
        {"title": f"Result <b>{n}</b> &amp; more", "url": f"https://example{n}.com/page/{n}", "text": f"About it, {n}."}
        for n in range(1, min(count, MOST) + 1)
    ]


def serper(asked: Asked) -> Script:
    def rows(count: int) -> list[dict[str, Any]]:
        return [
            {"title": row["title"], "link": row["url"], "snippet": row["text"], "position": at, "date": "Apr 10, 2026"}
            | ({"imageUrl": f"{row['url']}.jpg"} if name == "images" else {})
            for at, row in enumerate(_found(count), 1)
        ]

    fields = _fields(asked)
    if fields is None:
        return refusal(asked.dialect, "bad_request")
    kind = asked.record.path.rpartition("/")[2]
    name = "organic" if kind == "search" else kind
    fixed = {"searchParameters": {"q": fields.get("q"), "type": kind}, "answerBox": {"answer": "42"}, "credits": 1}
    count = int(fields.get("num") or MOST)
    return answer_whole(
        asked,
        "serper",
        str(fields.get("q")),
        lambda: json_body({**fixed, name: rows(count)}, {**fixed, name: [], "answerBox": {}}),
    )


def exa(asked: Asked) -> Script:
    fields = _fields(asked)
    if fields is None:
        return refusal(asked.dialect, "bad_request")
    contents = fields.get("contents") or {}
    rows = [
        {
            **{"id": row["url"], "url": row["url"], "title": row["title"], "score": 0.31, "publishedDate": _DAY},
            **{"author": None, "summary": None, "highlights": [row["text"]] if contents.get("highlights") else None},
            **({"text": f"The whole page. {row['text']}"} if contents.get("text") else {}),
        }
        for row in _found(int(fields.get("numResults") or MOST))
    ]
    fixed = {"requestId": "simulated", "resolvedSearchType": "neural", "costDollars": {"total": 0.005}}
    return answer_whole(
        asked,
        "exa",
        str(fields.get("query")),
        lambda: json_body({**fixed, "results": rows}, {**fixed, "results": []}),
    )


def tavily(asked: Asked) -> Script:
    fields = _fields(asked)
    if fields is None:
        return refusal(asked.dialect, "bad_request")
    rows = [
        {"title": row["title"], "url": row["url"], "content": row["text"], "score": 0.99, "raw_content": None}
        | ({"raw_content": f"The whole page. {row['text']}"} if fields.get("include_raw_content") else {})
        for row in _found(int(fields.get("max_results") or MOST))
    ]
    fixed: dict[str, Any] = {
        "query": fields.get("query"),
        "follow_up_questions": None,
        "images": [],
        "response_time": 0.1,
    }
    answer = "42" if fields.get("include_answer") else None
    return answer_whole(
        asked,
        "tavily",
        str(fields.get("query")),
        lambda: json_body({**fixed, "answer": answer, "results": rows}, {**fixed, "answer": None, "results": []}),
    )


def brave(asked: Asked) -> Script:
    query = asked.query
    rows = [
        {"title": row["title"], "url": row["url"], "description": row["text"], "age": "April 10", "page_age": _DAY[:19]}
        for row in _found(int(query.get("count") or MOST))
    ]
    news = "/news/" in asked.record.path

    def shaped(listed: list[dict[str, Any]]) -> dict[str, Any]:
        return {"type": "news", "results": listed} if news else {"type": "search", "web": {"results": listed}}

    return answer_whole(asked, "brave", query.get("q", ""), lambda: json_body(shaped(rows), shaped([])))


def searxng(asked: Asked) -> Script:
    """Its empty answer is that of engines which did not respond."""
    query = asked.query
    if query.get("format") != "json":
        return refusal(asked.dialect, "forbidden")
    rows = [
        {"url": row["url"], "title": row["title"], "content": row["text"], "engine": "simulated", "score": 1.0}
        for row in _found(MOST)
    ]
    fixed: dict[str, Any] = {
        "query": query.get("q"),
        "number_of_results": 0,
        "corrections": [],
        "infoboxes": [],
        "suggestions": [],
    }
    good = {**fixed, "results": rows, "answers": [], "unresponsive_engines": []}
    bad = {**fixed, "results": [], "answers": [], "unresponsive_engines": [["simulated", "timeout"]]}
    return answer_whole(asked, "searxng", query.get("q", ""), lambda: json_body(good, bad))


def _fields(asked: Asked) -> dict[str, Any] | None:
    try:
        fields = msgspec.json.decode(asked.body)
    except msgspec.DecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    asked.record.keep_body(asked.body)
    return fields
