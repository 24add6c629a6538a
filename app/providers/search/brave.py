"""Brave: an index of its own (wire/search.md section 7). Its results may not be stored, and are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.core.errors import UpstreamError
from app.core.search import Found, Search
from app.providers.dialect import Outgoing
from app.providers.search.backend import (
    ACCOUNT,
    FAILED,
    REFUSED,
    THROTTLED,
    headers_of,
    judged,
    query_string,
    span_of,
    with_sites,
)
from app.providers.search.cleaning import iso_date, kept, result, rows

LONGEST_QUERY: Final = 400
MOST_WORDS: Final = 50
MOST_RESULTS: Final = 20
SPANS: Final = {"d": "pd", "w": "pw", "m": "pm", "y": "py"}
CROWDED: Final = replace(THROTTLED, wait_s=1)
KEY_CODES: Final = frozenset({"SUBSCRIPTION_TOKEN_INVALID", "SUBSCRIPTION_NOT_FOUND", "QUOTA_LIMITED"})


class Brave:
    name = "brave"
    method = b"GET"

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def ask(self, search: Search) -> Outgoing:
        parameters = {
            "q": shortened(with_sites(search)),
            "count": min(search.count, MOST_RESULTS),
            "country": search.gl and search.gl.upper(),
            "search_lang": search.hl and search.hl[:2].lower(),
            "freshness": _freshness(search),
            "text_decorations": "false",
            "spellcheck": 1,
        }
        path = "/res/v1/news/search" if search.kind == "news" else "/res/v1/web/search"
        headers = headers_of({"x-subscription-token": self._api_key})
        return Outgoing(query_string(path, parameters), headers, b"", ())

    def found(self, body: Mapping[str, Any], search: Search) -> Found:
        web = body if search.kind == "news" else body.get("web")
        results = (
            result(
                row,
                url=row.get("url"),
                snippet=row.get("description"),
                published_date=iso_date(row.get("page_age")),
            )
            for row in rows(web if isinstance(web, dict) else {}, "results")
        )
        return Found(results=kept(results, search))

    def refusal(self, status: int, headers: Mapping[str, str], body: Any, now: float) -> UpstreamError:
        error = _error_in(body)
        code = str(error.get("code") or "")
        wait = headers
        if code in KEY_CODES or status in (401, 403, 404) or "x-subscription-token" in str(error.get("meta")):
            verdict = ACCOUNT
            if code == "QUOTA_LIMITED":
                wait = {"retry-after": _last(headers.get("x-ratelimit-reset", ""))}
        elif status == 429:
            verdict = CROWDED
        else:
            verdict = REFUSED if 400 <= status < 500 else FAILED
        return judged(verdict, status, wait, f"{code} {error.get('detail') or ''}", self._api_key, now)


def shortened(query: str) -> str:
    """At most 50 words and 400 characters, cut at a word."""
    words = query.split()[:MOST_WORDS]
    while len(words) > 1 and len(" ".join(words)) > LONGEST_QUERY:
        words.pop()
    return " ".join(words)[:LONGEST_QUERY]


def _freshness(search: Search) -> str | None:
    if search.start or search.end:
        return f"{search.start or '1970-01-01'}to{search.end or '2100-01-01'}"
    return SPANS.get(span_of(search) or "")


def _error_in(body: Any) -> Mapping[str, Any]:
    """The first of `errors`, or the one object under `error`: both are seen."""
    match body:
        case {"errors": [dict(first), *_]} | {"error": dict(first)}:
            return first
        case _:
            return {}


def _last(windows: str) -> str:
    """The month's figure of `1, 1419704`: seconds to its reset."""
    return windows.rpartition(",")[2].strip()
