"""Serper: Google's results (wire/search.md section 4)."""

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
    REFUSED,
    THROTTLED,
    headers_of,
    judged,
    with_sites,
)
from app.providers.search.cleaning import Malformed, clean, iso_date, kept, result, rows

#: Kind of search -> path and the name of its list.
PATHS: Final = {"news": ("/news", "news"), "images": ("/images", "images")}
PLAIN: Final = ("/search", "organic")


class Serper:
    name = "serper"
    method = b"POST"

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def ask(self, search: Search) -> Outgoing:
        fields = {"q": with_sites(search), "num": search.count, "gl": search.gl, "hl": search.hl, "tbs": _tbs(search)}
        body = {name: value for name, value in fields.items() if value is not None}
        headers = headers_of({"x-api-key": self._api_key, "content-type": "application/json"})
        return Outgoing(PATHS.get(search.kind or "", PLAIN)[0], headers, msgspec.json.encode(body), ())

    def found(self, body: Mapping[str, Any], search: Search) -> Found:
        listed = rows(body, PATHS.get(search.kind or "", PLAIN)[1])
        if search.kind == "images":
            return _pictures(listed, search)
        results = (
            result(row, url=row.get("link"), snippet=row.get("snippet"), published_date=iso_date(row.get("date")))
            for row in listed
        )
        return Found(results=kept(results, search), answer=_answer(body))

    def refusal(self, status: int, headers: Mapping[str, str], body: Any, now: float) -> UpstreamError:
        words = str(body.get("message") or "") if isinstance(body, dict) else ""
        spent = status == 400 and "credit" in words.lower()
        match status:
            case 401 | 402 | 403:
                verdict = ACCOUNT
            case 429:
                verdict = THROTTLED
            case _ if spent:
                verdict = ACCOUNT
            case _:
                verdict = REFUSED if 400 <= status < 500 else FAILED
        return judged(verdict, status, headers, words, self._api_key, now)


def _tbs(search: Search) -> str | None:
    if search.tbs or not (search.start or search.end):
        return search.tbs
    days = (("cd_min", search.start), ("cd_max", search.end))
    return ",".join(["cdr:1", *(f"{name}:{_american(day)}" for name, day in days if day)])


def _american(day: str) -> str:
    year, month, date = day.split("-")
    return f"{int(month)}/{int(date)}/{year}"


def _answer(body: Mapping[str, Any]) -> str | None:
    box = body.get("answerBox")
    if not isinstance(box, dict):
        return None
    return clean(box.get("answer")) or clean(box.get("snippet")) or None


def _pictures(listed: list[Mapping[str, Any]], search: Search) -> Found:
    """The address of a row is the picture's; its page is told in `images`."""
    pairs = [(result(row, url=row.get("imageUrl"), snippet=""), row) for row in listed]
    good = [(each, row) for each, row in pairs if each is not None][: search.count]
    if listed and not good:
        raise Malformed("images without addresses")
    return Found(
        results=tuple(each for each, _ in good),
        images=tuple({"title": each.title, "url": each.url, "page_url": row.get("link")} for each, row in good),
    )
