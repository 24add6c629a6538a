"""From a provider's rows to ours: plain text, web addresses, dates in one form."""

from __future__ import annotations

import datetime
import html
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from app.core.search import Result, Search


class Malformed(Exception):
    """A 200 whose body is not the answer it should be."""


_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>")


def clean(text: object) -> str:
    """Plain text on one line: without tags, with entities as what they stand for."""
    return " ".join(html.unescape(_TAG.sub("", text)).split()) if isinstance(text, str) else ""


def rows(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The list `name`; without it the answer is no answer (wire/search.md section 3). Raises Malformed."""
    found = body.get(name)
    if not isinstance(found, list):
        raise Malformed(f"no list {name}")
    return [row for row in found if isinstance(row, dict)]


def result(row: Mapping[str, Any], *, url: object, snippet: object, **more: Any) -> Result | None:
    """A row in our form; None without a web address."""
    if not isinstance(url, str) or host_of(url) is None:
        return None
    score = more.pop("score", None)
    return Result(
        title=clean(row.get("title")),
        url=url,
        snippet=clean(snippet),
        source=host_of(url),
        score=float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None,
        **more,
    )


def kept(results: Iterable[Result | None], search: Search) -> tuple[Result, ...]:
    """At most as many as were asked for."""
    return tuple(each for each in results if each is not None)[: search.count]


def host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        return None


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


_WRITTEN: Final = ("%b %d, %Y", "%d %b %Y", "%B %d, %Y", "%d %B %Y", "%Y/%m/%d")


def iso_date(text: object) -> str | None:
    """A date in whatever form as `2026-04-10T00:00:00.000Z`; None for what is no date, such as "2 days ago"."""
    if not isinstance(text, str) or not text.strip():
        return None
    moment = _moment(text.strip())
    if moment is None:
        return None
    try:
        moment = moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    except OverflowError:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _WRITTEN:
        try:
            return datetime.datetime.strptime(text, form)  # noqa: DTZ007 - made aware by the caller
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
