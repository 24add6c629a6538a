"""Times of the platform API: ISO-8601 in UTC with microseconds, and cursors that page by time and id without a gap."""

from __future__ import annotations

import datetime
from typing import Annotated, Final, NamedTuple

from msgspec import Meta

from app.core.errors import Problem

EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND: Final = datetime.timedelta(microseconds=1)
DAY_US: Final = 86_400_000_000
#: No real id sorts after it, so that a plain time takes in everything before that time and nothing at it.
BEFORE_ALL_IDS: Final = ""
SEPARATOR: Final = "_"

Cursor = Annotated[str, Meta(max_length=120, description="`next_cursor` of the page before, or a time in ISO-8601")]
PageSize = Annotated[int, Meta(ge=1, le=200)]


class Place(NamedTuple):
    """A place in a list that is ordered by time, then id; the page begins just after it."""

    at_us: int
    id: str


def iso_time(at_us: int) -> str:
    """Such as `2026-08-01T09:30:00.000000Z`."""
    return (EPOCH + at_us * MICROSECOND).isoformat(timespec="microseconds").replace("+00:00", "Z")


def iso_or_none(at_us: int | None) -> str | None:
    return None if at_us is None else iso_time(at_us)


def read_time(text: str, param: str) -> int:
    """Microseconds since 1970; a time without a zone is in UTC. Raises Problem 400 for anything else."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise _no_time(param) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    try:
        at_us = (moment - EPOCH) // MICROSECOND
    except OverflowError:
        raise _no_time(param) from None
    return max(at_us, 0)


def read_cursor(text: str | None, param: str = "before") -> Place | None:
    """The place that a cursor names, None without one. Raises Problem 400 for what no page has given out."""
    if not text:
        return None
    time, _, row_id = text.partition(SEPARATOR)
    return Place(read_time(time, param), row_id or BEFORE_ALL_IDS)


def write_cursor(place: Place) -> str:
    """The text that `read_cursor` reads; it begins with the time."""
    return f"{iso_time(place.at_us)}{SEPARATOR}{place.id}"


def _no_time(param: str) -> Problem:
    message = f"`{param}` is a time such as 2026-08-01T09:30:00Z, or the cursor that a page gave as next_cursor."
    return Problem("invalid_value", message, param)
