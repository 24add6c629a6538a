"""The usage API on the wire: what is asked, a line of the log, the sums (spec.md section 16)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from app.core.chat_fields import Wire
from app.core.outcomes import Group
from app.core.times import Cursor
from catalog.models import Category

#: Older calls stay in the books and are not shown.
LONGEST_DAYS: Final = 90
#: Further on a page takes as long as reading all before it: then a cursor is the way.
DEEPEST_OFFSET: Final = 10_000

#: A template that a bot has sent is a `message`.
Service = Category | Literal["message"]
Days = Annotated[int, Meta(ge=1, le=LONGEST_DAYS, description="days in UTC, the current one included")]
Moment = Annotated[str, Meta(max_length=40, description="a time in ISO-8601")]
StatusCode = Annotated[int, Meta(ge=100, le=599)]
Filter = Annotated[str, Meta(max_length=200)]
Mark = Annotated[str, Meta(max_length=2000)]


class LogFilter(Wire, frozen=True):
    """Which calls; every condition that is given must hold."""

    days: Days | None = None
    start: Annotated[Moment | None, Meta(description="the first moment, inclusive")] = None
    end: Annotated[Moment | None, Meta(description="the last moment, exclusive")] = None
    service: Service | None = None
    model: Filter | None = None
    api_key_id: Filter | None = None
    status: Annotated[Group | StatusCode | None, Meta(description="a group, or a status code such as 429")] = None
    session_id: Annotated[Mark | None, Meta(description="as sent in X-Session-Id")] = None
    trace_id: Annotated[Mark | None, Meta(description="as sent in X-Trace-Id")] = None


class LogQuery(LogFilter, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    offset: Annotated[int, Meta(ge=0, le=DEEPEST_OFFSET, description="to go further use `before`")] = 0
    before: Cursor | None = None


class CallLog(msgspec.Struct, frozen=True, gc=False):
    """One admitted call. What is not known of it, or not yet, is null; refused requests are not calls."""

    id: str
    created_at: str
    service: str
    endpoint: str
    method: str
    model: str
    status_code: Annotated[int | None, Meta(description="499: the client left; null while it runs")]
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    audio_seconds: float | None
    cost_usd: float
    credits: float
    request_id: str
    api_key_id: str
    error_message: Annotated[str | None, Meta(description="the code of the error")]
    trace_id: str | None
    session_id: str | None


class LogPage(msgspec.Struct, frozen=True):
    """A page may hold fewer lines than asked for: only a `next_cursor` of null is the end."""

    data: list[CallLog]
    next_cursor: str | None


class SummaryQuery(Wire, frozen=True):
    days: Days = 30


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over calls that have ended. Requests are successes, errors and those that the client left."""

    total_requests: int
    success: int
    errors: int
    cancelled: int
    success_rate: Annotated[float | None, Meta(description="of all requests, from 0 to 1")]
    total_cost_usd: float
    total_credits: float
    total_input_tokens: int
    total_output_tokens: int
    total_audio_seconds: float
    avg_latency_ms: float | None


class ServiceTotals(Totals, frozen=True, kw_only=True):
    service: str


class ModelTotals(Totals, frozen=True, kw_only=True):
    model: str


class KeyTotals(Totals, frozen=True, kw_only=True):
    api_key_id: str


class DayTotals(msgspec.Struct, frozen=True):
    """One day in UTC; days without a call are there as well."""

    date: str
    requests: int
    errors: int
    cost_usd: float
    credits: float


class Summary(msgspec.Struct, frozen=True):
    period_days: int
    totals: Totals
    by_service: list[ServiceTotals]
    by_model: list[ModelTotals]
    by_key: list[KeyTotals]
    series: list[DayTotals]
