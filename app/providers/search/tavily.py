"""Tavily: search made for agents (wire/search.md section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from app.core.errors import UpstreamError
from app.core.search import Found, Search
from app.providers.dialect import Outgoing, bearer
from app.providers.search.backend import ACCOUNT, FAILED, REFUSED, THROTTLED, headers_of, judged, span_of
from app.providers.search.cleaning import clean, iso_date, kept, result, rows, text_or_none

MOST_RESULTS: Final = 20
SPANS: Final = {"d": "day", "w": "week", "m": "month", "y": "year"}
#: Names of countries as this provider wants them, by their code; others are left out.
COUNTRIES: Final = {
    **{"in": "india", "us": "united states", "gb": "united kingdom", "de": "germany", "fr": "france"},
    **{"es": "spain", "it": "italy", "ca": "canada", "au": "australia", "jp": "japan", "br": "brazil"},
    **{"ae": "united arab emirates", "sg": "singapore", "pk": "pakistan", "bd": "bangladesh", "np": "nepal"},
    **{"lk": "sri lanka", "nl": "netherlands", "mx": "mexico", "za": "south africa", "id": "indonesia"},
}
#: It does not say whether the rate or the plan's use is over.
RESTING: Final = replace(THROTTLED, wait_s=60)
BY_STATUS: Final = {400: REFUSED, 429: RESTING, **dict.fromkeys((401, 403, 432, 433), ACCOUNT)}


class Tavily:
    name = "tavily"
    method = b"POST"

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def ask(self, search: Search) -> Outgoing:
        news = search.kind == "news"
        fields = {
            "query": search.query,
            "search_depth": "advanced" if search.mode == "detailed" else "basic",
            "topic": "news" if news else None,
            "max_results": min(search.count, MOST_RESULTS),
            "include_domains": list(search.include) or None,
            "exclude_domains": list(search.exclude) or None,
            "start_date": search.start,
            "end_date": search.end,
            "include_answer": True,
            "include_raw_content": True if search.with_content else None,
            "country": None if news else COUNTRIES.get(search.gl or ""),
            "time_range": SPANS.get(span_of(search) or ""),
        }
        body = {name: value for name, value in fields.items() if value is not None}
        headers = headers_of({**bearer(self._api_key), "content-type": "application/json"})
        return Outgoing("/search", headers, msgspec.json.encode(body), ())

    def found(self, body: Mapping[str, Any], search: Search) -> Found:
        results = (
            result(
                row,
                url=row.get("url"),
                snippet=row.get("content"),
                content=text_or_none(row.get("raw_content")) if search.with_content else None,
                published_date=iso_date(row.get("published_date")),
                score=row.get("score"),
            )
            for row in rows(body, "results")
        )
        return Found(results=kept(results, search), answer=clean(body.get("answer")) or None)

    def refusal(self, status: int, headers: Mapping[str, str], body: Any, now: float) -> UpstreamError:
        detail = body.get("detail") if isinstance(body, dict) else None
        words = str(detail.get("error") or "") if isinstance(detail, dict) else str(detail or "")
        verdict = BY_STATUS.get(status) or (REFUSED if 400 <= status < 500 else FAILED)
        return judged(verdict, status, headers, words, self._api_key, now)
