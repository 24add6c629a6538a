"""SearXNG: an instance of the operator's own (wire/search.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
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
from app.providers.search.cleaning import Malformed, clean, iso_date, kept, result, rows

SPANS: Final = {"d": "day", "m": "month", "y": "year"}
CATEGORIES: Final = {"news": "news", "images": "images"}
BY_STATUS: Final = {401: ACCOUNT, 403: ACCOUNT, 429: THROTTLED}


class SearXNG:
    name = "searxng"
    method = b"GET"

    def ask(self, search: Search) -> Outgoing:
        parameters = {
            "q": with_sites(search),
            "format": "json",
            "categories": CATEGORIES.get(search.kind or ""),
            "language": search.hl,
            "time_range": SPANS.get(span_of(search) or ""),
        }
        return Outgoing(query_string("/search", parameters), headers_of({}), b"", ())

    def found(self, body: Mapping[str, Any], search: Search) -> Found:
        """Nothing found while engines did not answer is a failure, not an empty answer."""
        listed = rows(body, "results")
        if not listed and body.get("unresponsive_engines"):
            raise Malformed("no engine answered")
        results = (
            result(
                row,
                url=row.get("url"),
                snippet=row.get("content"),
                published_date=iso_date(row.get("publishedDate")),
            )
            for row in listed
        )
        return Found(results=kept(results, search), answer=_answer(body.get("answers")))

    def refusal(self, status: int, headers: Mapping[str, str], body: Any, now: float) -> UpstreamError:
        verdict = BY_STATUS.get(status) or (REFUSED if 400 <= status < 500 else FAILED)
        return judged(verdict, status, headers, "", "", now)


def _answer(answers: object) -> str | None:
    """Newer instances give objects, older ones texts."""
    first = answers[0] if isinstance(answers, list) and answers else None
    return clean(first.get("answer") if isinstance(first, dict) else first) or None
