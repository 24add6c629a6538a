"""A search as the client asks for it: fields, bounds, and which providers may answer in which order (spec.md 13)."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from app.core.chat_fields import Wire
from app.core.decode import decode_object
from app.core.errors import Problem
from app.core.wire_fields import bad_field, read_fields, unknown_fields

PROVIDERS: Final = ("serper", "exa", "tavily", "brave", "searxng")
ALIASES: Final = {"google": "serper"}
DEFAULT_RESULTS: Final = 10
MOST_TRIED: Final = 3
#: wire/search.md section 1: who is tried first and who then.
ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "shorter": ("serper", "brave", "tavily", "exa", "searxng"),
    "detailed": ("exa", "tavily", "serper", "brave", "searxng"),
    "provider": ("exa", "serper", "tavily", "brave", "searxng"),
}
#: Those that have the text of a page.
READERS: Final = ("exa", "tavily")

Mode = Literal["auto", "shorter", "detailed"]
Domain = Annotated[str, Meta(min_length=1, max_length=253, pattern=r'^[^\s":]+\Z')]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]


class SearchFields(Wire, frozen=True):
    """The body of POST /v1/search."""

    query: Annotated[str, Meta(min_length=1, max_length=2000)]
    mode: Mode | None = None
    provider: str | None = None
    num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    search_type: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    include_domains: Annotated[list[Domain], Meta(max_length=50)] | None = None
    exclude_domains: Annotated[list[Domain], Meta(max_length=50)] | None = None
    start_published_date: Day | None = None
    end_published_date: Day | None = None
    include_content: bool | None = None
    gl: Annotated[str, Meta(pattern=r"^[A-Za-z]{2}\Z")] | None = None
    hl: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?\Z")] | None = None
    tbs: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class Search(Wire, frozen=True):
    """A search that is fit to be asked; absent fields have their defaults, dates are real days in order."""

    query: str
    mode: Mode
    provider: str | None
    count: int
    kind: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    start: str | None
    end: str | None
    with_content: bool
    gl: str | None
    hl: str | None
    tbs: str | None
    ignored: tuple[str, ...] = ()


class Result(Wire, frozen=True):
    """One row of an answer, in our form."""

    title: str
    url: str
    snippet: str
    content: str | None = None
    published_date: str | None = None
    score: float | None = None
    source: str | None = None


class Found(Wire, frozen=True):
    """What one provider found."""

    results: tuple[Result, ...]
    answer: str | None = None
    images: tuple[dict[str, Any], ...] | None = None


def parse_search(body: bytes) -> Search:
    """Raises Problem 400 `invalid_request_error` that names the field."""
    raw = decode_object(body)
    fields = read_fields(raw, SearchFields, one_code=True)
    query = fields.query.strip()
    if not query:
        raise bad_field("query", "query must hold a word to search for.")
    start, end = _day(fields, "start_published_date"), _day(fields, "end_published_date")
    if start and end and start > end:
        raise bad_field("end_published_date", "end_published_date must not be before start_published_date.")
    return Search(
        query=query,
        mode=fields.mode or "auto",
        provider=_provider(fields.provider),
        count=fields.num_results or DEFAULT_RESULTS,
        kind=fields.search_type,
        include=tuple(fields.include_domains or ()),
        exclude=tuple(fields.exclude_domains or ()),
        start=start,
        end=end,
        with_content=bool(fields.include_content),
        gl=fields.gl and fields.gl.lower(),
        hl=fields.hl,
        tbs=fields.tbs,
        ignored=unknown_fields(raw, SearchFields),
    )


def choose(search: Search, *, configured: Collection[str], allowed: Iterable[str], default: str) -> list[str]:
    """The providers to try, the first being the one that was asked for. Empty: it has no credentials here.

    `allowed` is the key's list, `default` serves mode auto. Raises Problem 403 when the first is not allowed.
    """
    wanted = [name for name in _order(search, default) if name in configured or name == search.provider]
    permitted = {ALIASES.get(name, name) for name in allowed}
    if not wanted or "*" in permitted:
        chosen = wanted
    elif wanted[0] not in permitted:
        raise Problem(
            "search_provider_not_allowed",
            f"This key may not search with {wanted[0]}. Name one that it may use in `provider`, or use another key.",
            "provider",
        )
    else:
        chosen = [name for name in wanted if name in permitted]
    return [] if search.provider and search.provider not in configured else chosen[:MOST_TRIED]


def _order(search: Search, default: str) -> list[str]:
    if search.provider is not None:
        first, then = [search.provider], ORDERS["provider"]
    elif search.mode == "auto":
        preferred = {"serper": "shorter", "exa": "detailed"}.get(default, "provider")
        first, then = [default], ORDERS[preferred]
    else:
        first, then = [], ORDERS[search.mode]
    if search.with_content:
        first = [search.provider] if search.provider else []
        then = (*READERS, *then)
    return list(dict.fromkeys([*first, *then]))


def _provider(name: str | None) -> str | None:
    if name is None:
        return None
    known = ALIASES.get(name.casefold(), name.casefold())
    if known not in PROVIDERS:
        raise bad_field("provider", f"provider must be one of {', '.join((*PROVIDERS, *ALIASES))}.")
    return known


def _day(fields: SearchFields, name: str) -> str | None:
    day: str | None = getattr(fields, name)
    if day is None:
        return None
    try:
        datetime.date.fromisoformat(day)
    except ValueError:
        raise bad_field(name, f"{name} must be a day that exists, such as 2026-04-10.") from None
    return day
