"""Exa: neural search with the text of the pages (wire/search.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.core.errors import UpstreamError
from app.core.search import Found, Search
from app.providers.dialect import Outgoing
from app.providers.search.backend import (
    ACCOUNT,
    FAILED,
    PROHIBITED,
    REFUSED,
    THROTTLED,
    UNREACHED,
    headers_of,
    judged,
)
from app.providers.search.cleaning import host_of, iso_date, kept, result, rows, text_or_none

TYPES: Final = frozenset({"auto", "fast", "instant", "deep-lite", "deep"})
SNIPPET_CHARS: Final = 300
BY_STATUS: Final = {
    **dict.fromkeys((400, 404, 409, 422), REFUSED),
    **dict.fromkeys((401, 402, 403), ACCOUNT),
    **dict.fromkeys((503, 504), UNREACHED),
    429: THROTTLED,
}


class Exa:
    name = "exa"
    method = b"POST"

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def ask(self, search: Search) -> Outgoing:
        fields = {
            "query": search.query,
            "type": search.kind if search.kind in TYPES else "auto",
            "numResults": search.count,
            "category": "news" if search.kind == "news" else None,
            "includeDomains": list(search.include) or None,
            "excludeDomains": (list(search.exclude) or None) if not search.include else None,
            "startPublishedDate": search.start and f"{search.start}T00:00:00.000Z",
            "endPublishedDate": search.end and f"{search.end}T23:59:59.999Z",
            "userLocation": search.gl and search.gl.upper(),
            "contents": {"highlights": True} | ({"text": True} if search.with_content else {}),
        }
        body = {name: value for name, value in fields.items() if value is not None}
        headers = headers_of({"x-api-key": self._api_key, "content-type": "application/json"})
        return Outgoing("/search", headers, msgspec.json.encode(body), ())

    def found(self, body: Mapping[str, Any], search: Search) -> Found:
        """Exclusion beside inclusion is not the provider's: it is done here."""
        results = (
            result(
                row,
                url=row.get("url"),
                snippet=_snippet(row),
                content=text_or_none(row.get("text")) if search.with_content else None,
                published_date=iso_date(row.get("publishedDate")),
                score=row.get("score"),
            )
            for row in rows(body, "results")
            if not _excluded(row.get("url"), search)
        )
        return Found(results=kept(results, search))

    def refusal(self, status: int, headers: Mapping[str, str], body: Any, now: float) -> UpstreamError:
        tag, words = (str(body.get(key) or "") for key in ("tag", "error")) if isinstance(body, dict) else ("", "")
        verdict = BY_STATUS.get(status) or (REFUSED if 400 <= status < 500 else FAILED)
        if status == 403 and tag == "PROHIBITED_CONTENT":
            verdict = PROHIBITED
        return judged(verdict, status, headers, f"{tag} {words}", self._api_key, now)


def _snippet(row: Mapping[str, Any]) -> str:
    highlights = row.get("highlights")
    if isinstance(highlights, list) and highlights and isinstance(highlights[0], str):
        return highlights[0]
    return text_or_none(row.get("summary")) or (text_or_none(row.get("text")) or "")[:SNIPPET_CHARS]


def _excluded(url: object, search: Search) -> bool:
    host = host_of(url) if isinstance(url, str) else None
    return host is not None and any(host == domain or host.endswith(f".{domain}") for domain in search.exclude)
